"""From the file of a network to contracts that are as it says: deployed, recorded, verified, published, extended."""
