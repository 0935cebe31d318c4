"""What a control domain has for its plugins to import: the folder is on their path, never on ours."""
