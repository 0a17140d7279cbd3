package inbox

// Loaded returns how many boxes are in memory.
func (s *Set) Loaded() int {
	n := 0
	for _, sh := range s.shards {
		sh.mu.Lock()
		n += len(sh.boxes)
		sh.mu.Unlock()
	}
	return n
}
