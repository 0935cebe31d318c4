"""Roadstead: the containers inside the VMs of XenServer and XCP-ng pools, seen and controlled without agents."""
