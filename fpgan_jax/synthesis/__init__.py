"""From a GAN's checkpoint to synthetic prints: files or shards, each with its row of the manifest."""
