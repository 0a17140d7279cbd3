package admin

import (
	"context"
	"net/http"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/gate"

	"github.com/danielgtaylor/huma/v2"
)

// sessions registers who is connected.
func (s *server) sessions(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/accounts/{account}/sessions", "list-sessions", "Who is connected, how and since when", "sessions"),
		func(_ context.Context, in *AccountPath) (*struct{ Body []gate.Info }, error) {
			out := []gate.Info{}
			for _, session := range s.Gate.Sessions(gatehouse.AccountName(in.Account)) {
				out = append(out, session.Info())
			}
			return &struct{ Body []gate.Info }{out}, nil
		})
	huma.Register(api, operation(http.MethodDelete, "/accounts/{account}/sessions/{id}", "end-session", "End a session; its client may come again", "sessions"),
		func(ctx context.Context, in *struct {
			AccountPath
			ID string `path:"id"`
		},
		) (*struct{}, error) {
			for _, session := range s.Gate.Sessions(gatehouse.AccountName(in.Account)) {
				if session.Info().ID == in.ID {
					session.End("it was ended by hand")
					s.audit(ctx, "end session", in.Account, in.ID)
					return nil, nil
				}
			}
			return nil, s.fail(gatehouse.Errorf(gatehouse.NotFound, "account %q has no session %q", in.Account, in.ID))
		})
}

// Replayed says how many dead letters were handled again.
type Replayed struct {
	Replayed int `json:"replayed"`
}

// handlers registers what can be done with handlers beside defining them.
func (s *server) handlers(api huma.API) {
	huma.Register(api, operation(http.MethodPost, "/accounts/{account}/handlers/{name}/replay", "replay-dead-letters", "Give the dead letters of a handler to it again", "handlers"),
		func(ctx context.Context, in *NamePath) (*struct{ Body Replayed }, error) {
			a, err := s.account(in.Account)
			if err != nil {
				return nil, s.fail(err)
			}
			h := a.Handler(in.Name)
			if h == nil {
				return nil, s.fail(gatehouse.Errorf(gatehouse.NotFound, "account %q has no handler %q", in.Account, in.Name))
			}
			n, err := s.Dispatcher.Replay(ctx, channel.ID{Account: a.Name(), Channel: h.Channel()}, h.Name())
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "replay dead letters", in.Account, in.Name)
			return &struct{ Body Replayed }{Replayed{n}}, nil
		})
}
