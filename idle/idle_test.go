package idle
