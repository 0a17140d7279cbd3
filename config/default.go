package config

import "time"

// Default returns the configuration that an empty file stands for.
func Default() *Config {
	return &Config{
		Environment: "local",
		Data:        "./gatehouse-data",
		Shards:      8,
		Engine:      Engine{Kind: "pebbledb"},
		Admin:       Admin{Address: "127.0.0.1:7070"},
		Inbox: Inbox{
			Lock: Duration(30 * time.Second), MaxDeliveries: 10, DeadLetterExpired: true, OnFull: Refuse,
		},
		Handlers: Handlers{
			MinBackoff: Duration(100 * time.Millisecond), MaxBackoff: Duration(time.Minute),
		},
		Drain: Duration(10 * time.Second),
		Log:   Log{Level: "info", Format: FormatText},
	}
}
