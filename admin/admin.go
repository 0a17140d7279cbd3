// Package admin serves the REST API of section "Administration" of the docs,
// under /api/v1, described by OpenAPI 3.1 at /api/openapi.json, and beside it
// what needs no login: /healthz, /readyz and /metrics.
//
// The API changes the directory and looks into the gate; it keeps nothing of
// its own. Everything a person or a script does to a gateway goes through it:
// the command line (package cli) and the pages use it and nothing else.
//
// Whoever shows the operator's token may do everything. The token is in a file
// of mode 0600 that the first start writes. The listener speaks plain HTTP and
// belongs on loopback or behind something trusted.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Config is what the API works on. All fields but Metrics and Logger are
// required.
type Config struct {
	Directory  *directory.Directory
	Gate       *gate.Gate
	Channels   *channel.Set
	Inboxes    *inbox.Set
	Dispatcher *dispatch.Dispatcher
	// Token is what the operator shows.
	Token string
	// Environment describes the gateway to its administrator.
	Environment func() Environment
	// Ready returns what is not ready yet, or nil.
	Ready   func(context.Context) error
	Metrics http.Handler
	Logger  *slog.Logger
	Version string
}

// Environment describes a gateway.
type Environment struct {
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	Shards    int        `json:"shards" doc:"Slices of storage, and partitions of every channel"`
	Listeners []Listener `json:"listeners" doc:"Where clients connect"`
	// CA is the certificate that clients must trust, in PEM, if the gateway
	// made its own.
	CA string `json:"ca,omitempty" doc:"The local authority to trust, in PEM, if the gateway made its own certificate"`
}

// Listener is one port with the adapter that serves it.
type Listener struct {
	Adapter string `json:"adapter"`
	Address string `json:"address" doc:"Host and port it is bound to"`
}

// maxBody bounds what a request may send, but for imports and files.
const (
	maxBody  = 1 << 20
	maxFile  = 64 << 20
	basePath = "/api/v1"
)

// New returns the handler of the admin listener.
func New(c Config) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Config: c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", s.readyz)
	if c.Metrics != nil {
		mux.Handle("GET /metrics", c.Metrics)
	}
	s.register(humago.New(mux, describe(c.Version)))
	s.imports(mux)
	// A page of another site must not use an administrator's browser.
	return http.NewCrossOriginProtection().Handler(mux)
}

type server struct{ Config }

// describe returns the configuration of the API's description. What huma adds
// beyond OpenAPI (pages from other hosts, $schema members) is left out.
func describe(version string) huma.Config {
	c := huma.DefaultConfig("Gatehouse administration", version)
	c.OpenAPIPath = "/api/openapi"
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Info.Description = "Everything that can be seen and steered in a gateway. Changes take an If-Match header with the ETag of what they change; without one they overwrite."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "The operator's token, in the file admin-token of the data folder."},
	}
	c.Security = []map[string][]string{{"token": {}}}
	return c
}

func (s *server) register(api huma.API) {
	registerAliases(api.OpenAPI().Components.Schemas)
	api.UseMiddleware(s.login)
	s.environment(api)
	s.accounts(api)
	definitions[directory.EndpointSpec](s, api, "endpoints", directory.KindEndpoint)
	definitions[directory.ChannelSpec](s, api, "channels", directory.KindChannel)
	definitions[directory.RouteSpec](s, api, "routes", directory.KindRoute)
	definitions[directory.RestrictionSpec](s, api, "restrictions", directory.KindRestriction)
	definitions[directory.HandlerSpec](s, api, "handlers", directory.KindHandler)
	definitions[directory.PolicySpec](s, api, "policies", directory.KindPolicy)
	s.files(api)
	s.keys(api)
	s.revocation(api)
	s.explain(api)
	s.inboxes(api)
	s.sessions(api)
	s.handlers(api)
}

// login lets in who shows the token.
func (s *server) login(ctx huma.Context, next func(huma.Context)) {
	if err := s.authorize(ctx.Header("Authorization")); err != nil {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="gatehouse"`)
		writeProblem(ctx, err)
		return
	}
	next(ctx)
}

func (s *server) authorize(header string) error {
	scheme, shown, _ := strings.Cut(header, " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(shown))), sha256.Sum256([]byte(s.Token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return gatehouse.Errorf(gatehouse.Unauthenticated, "send the header 'Authorization: Bearer TOKEN' with the operator's token, which is in the file admin-token of the gateway's data folder")
	}
	return nil
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(r.Context()); err != nil {
		answerText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	answerText(w, http.StatusOK, "ready")
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may be gone
}

// audit notes what an administrator did. It is called after it was done.
func (s *server) audit(ctx context.Context, action string, account, name string) {
	s.Logger.InfoContext(ctx, "audit", "action", action, "account", account, "name", name)
}
