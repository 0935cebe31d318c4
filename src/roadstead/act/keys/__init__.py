"""The pools' SSH key pairs: found or made, remembered by the VMs they open, and replaced."""
