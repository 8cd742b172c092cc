"""The thinking floor: arrays in, arrays out; the paper and nothing of Label Studio."""
