// Package config reads the gateway's one configuration file. It knows what
// every value means, where it stands in the file and what its default is; it
// starts nothing and decides nothing.
//
// The file is YAML and strict: a key that is not known is an error that names
// file, line and the nearest known key. Every value can be overridden by an
// environment variable, whose name follows from its path: admin.address is
// GATEHOUSE_ADMIN_ADDRESS, tls.clientCA is GATEHOUSE_TLS_CLIENT_CA. A variable
// for a list or a section holds YAML: GATEHOUSE_LISTENERS='[{adapter: https}]'.
//
// In any value, ${NAME} stands for the environment variable NAME and
// ${file:PATH} for what the file has, without the line end; $$ is a dollar sign.
//
//	cfg, err := config.Load("gatehouse.yaml", os.LookupEnv)
//
// The options of adapters and engines stay undecoded in a Block, for the
// plug-in that knows them. The comments of the fields are the manual:
// docs/configuration.md is made from them.
package config

// A Config is everything the gateway is told when it starts. It is not changed
// once it is loaded.
type Config struct {
	// The name of this deployment. Accounts are assigned to one environment, and a gateway serves those of its own.
	Environment string `yaml:"environment"`
	// The folder for everything durable: messages, definitions, keys and generated certificates. Made with mode 0700 if it is missing.
	Data string `yaml:"data"`
	// Into how many slices storage is divided, which is also how many partitions every channel has. Takes effect when the environment is made; later it must be left as it was.
	Shards int `yaml:"shards"`
	// Where durable bytes live.
	Engine Engine `yaml:"engine"`
	// The admin listener: API, pages, metrics and health.
	Admin Admin `yaml:"admin"`
	// Where clients connect: one adapter per port. Without any, every adapter that speaks TLS listens at its usual port. Naming one replaces them all.
	Listeners []Listener `yaml:"listeners"`
	// The certificate of all listeners that speak TLS. Without one, the first start makes a local authority and a certificate under the data folder.
	TLS TLS `yaml:"tls"`
	// How endpoint keys are encrypted where they are stored. Without either, the first start makes a key in the data folder.
	Encryption Encryption `yaml:"encryption"`
	// What inboxes do unless their account or endpoint says otherwise.
	Inbox Inbox `yaml:"inbox"`
	// How messages are given to handlers.
	Handlers Handlers `yaml:"handlers"`
	// How long clients may take to finish what is under way once the gateway is told to stop.
	Drain Duration `yaml:"drain"`
	// What is logged, to standard error.
	Log Log `yaml:"log"`

	origin *origin
}

// An Engine says where durable bytes live.
type Engine struct {
	// The engine: pebbledb keeps everything in the data folder; memory forgets everything at the end, for trying things out.
	Kind string `yaml:"kind"`
	// Options of that engine.
	Options Block `yaml:",inline"`
}

// Admin is the listener of the API, the pages, the metrics and the health checks.
type Admin struct {
	// Host and port. Keep it on loopback or behind something you trust: it speaks plain HTTP. Port 0 picks a free one.
	Address string `yaml:"address"`
}

// A Listener is one port with the adapter that serves it.
type Listener struct {
	// The protocol: https, http, …
	Adapter string `yaml:"adapter"`
	// Host and port; without a host, all interfaces. Port 0 picks a free one, which is printed. Default: the adapter's usual port.
	Address string `yaml:"address"`
	// Overrides the gateway's drain time here.
	Drain Duration `yaml:"drain"`
	// How many connections there may be at a time; further ones are closed at once. Default: 65536.
	Connections int `yaml:"connections"`
	// The greatest size of a message, or of a batch on the wire. Default: 1 MiB.
	MaxBody Size `yaml:"maxBody"`
	// Overrides tls.clientCertificates here: ask or never.
	ClientCertificates string `yaml:"clientCertificates"`
	// Options of that adapter.
	Options Block `yaml:",inline"`
}

// TLS names the files of the certificate. Certificate and key are read again when they change, the authorities when the gateway starts.
type TLS struct {
	// File with the certificate and its chain, in PEM.
	Certificate string `yaml:"certificate"`
	// File with the private key, in PEM.
	Key string `yaml:"key"`
	// File with the authorities, in PEM, whose client certificates prove endpoints by the names they have. Certificates that endpoints list by their thumbprints need none.
	ClientCA string `yaml:"clientCA"`
	// Whether clients are asked, when they connect, for a certificate, which they need not have: ask or never. Default: ask; but https only with clientCA, because browsers would show people a choice of the certificates they have.
	ClientCertificates string `yaml:"clientCertificates"`
}

// The values of TLS.ClientCertificates and Listener.ClientCertificates.
const (
	Ask   = "ask"
	Never = "never"
)

// Encryption says where the key is that endpoint keys are encrypted with.
type Encryption struct {
	// File with the key: 32 bytes in base64 or hex.
	KeyFile string `yaml:"keyFile"`
	// Environment variable with the key, in the same form.
	KeyEnv string `yaml:"keyEnv"`
}

// Inbox is what inboxes do unless their account or endpoint says otherwise.
type Inbox struct {
	// How long a receiver may take before a message is given to another.
	Lock Duration `yaml:"lock"`
	// After how many failed deliveries a message goes to the dead letters; -1: never.
	MaxDeliveries int `yaml:"maxDeliveries"`
	// How long a message waits before it expires; 0: as long as its own time to live says.
	MaxAge Duration `yaml:"maxAge"`
	// Whether expired messages go to the dead letters instead of being dropped and counted.
	DeadLetterExpired bool `yaml:"deadLetterExpired"`
	// How many messages an inbox holds, without its dead letters; 0: any number.
	MaxMessages int `yaml:"maxMessages"`
	// How many bytes of messages an inbox holds; 0: any number.
	MaxBytes Size `yaml:"maxBytes"`
	// What happens to a message for a full inbox: refuse, dropOldest or deadLetter.
	OnFull string `yaml:"onFull"`
	// How long dead letters are kept; 0: until they are purged or resubmitted.
	DeadLetterMaxAge Duration `yaml:"deadLetterMaxAge"`
}

// The values of Inbox.OnFull.
const (
	Refuse     = "refuse"
	DropOldest = "dropOldest"
	DeadLetter = "deadLetter"
)

// Handlers says how messages are given to handlers.
type Handlers struct {
	// After how many attempts that failed for the moment a message goes to the handler's dead letters; 0: it is tried for ever.
	MaxAttempts int `yaml:"maxAttempts"`
	// The wait before the second attempt; it doubles from attempt to attempt.
	MinBackoff Duration `yaml:"minBackoff"`
	// The longest wait between attempts.
	MaxBackoff Duration `yaml:"maxBackoff"`
	// How long the dead letters of handlers are kept; 0: for ever.
	DeadLetterMaxAge Duration `yaml:"deadLetterMaxAge"`
}

// Log says what is logged.
type Log struct {
	// The least that is logged: debug, info, warn or error.
	Level string `yaml:"level"`
	// text or json.
	Format string `yaml:"format"`
}

// The values of Log.Format.
const (
	FormatText = "text"
	FormatJSON = "json"
)
