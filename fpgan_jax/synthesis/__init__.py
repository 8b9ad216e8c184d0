"""From a GAN's checkpoint to synthetic prints, in files or shards, with manifests."""
