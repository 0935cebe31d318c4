"""The pools' SSH key pairs: found or made, the steps of replacing one in the pool, and which VMs each opens."""
