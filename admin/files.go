package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/danielgtaylor/huma/v2"
)

func fold(s string) string { return gatehouse.Fold(s) }

// Applied says what a file changes.
type Applied struct {
	Changes directory.Diff `json:"changes" doc:"What changed or, in a dry run, would change"`
	DryRun  bool           `json:"dryRun"`
}

// files registers the operations on declarative files.
func (s *server) files(api huma.API) {
	apply := operation(http.MethodPost, "/apply", "apply", "Make an account what a file says, all of it or nothing", "files")
	apply.RequestBody, apply.SkipValidateBody = bodyOf[directory.File](api), true
	apply.MaxBodyBytes = maxFile
	huma.Register(api, apply, func(ctx context.Context, in *struct {
		Prune   bool   `query:"prune" doc:"Delete what the file does not have, in the sections it has"`
		DryRun  bool   `query:"dryRun" doc:"Only say what would change"`
		RawBody []byte `contentType:"application/json"`
	},
	) (*struct{ Body Applied }, error) {
		f, err := directory.ParseFile(in.RawBody, "the file", nil)
		if err != nil {
			return nil, s.fail(err)
		}
		change := s.Directory.Apply
		if in.DryRun {
			change = s.Directory.Diff
		}
		diff, err := change(ctx, f, in.Prune)
		if err != nil {
			return nil, s.fail(err)
		}
		if !in.DryRun && len(diff) > 0 {
			s.audit(ctx, "apply", string(f.Account), "")
		}
		if diff == nil {
			diff = directory.Diff{}
		}
		return &struct{ Body Applied }{Applied{Changes: diff, DryRun: in.DryRun}}, nil
	})
	huma.Register(api, operation(http.MethodGet, "/accounts/{account}/file", "export-file", "The file that describes an account, without keys", "files"),
		func(_ context.Context, in *AccountPath) (*struct{ Body *directory.File }, error) {
			f, err := s.Directory.Export(gatehouse.AccountName(in.Account))
			return &struct{ Body *directory.File }{f}, s.fail(err)
		})
}

// imports serves endpoints in bulk, a JSON document a line. They are streams,
// which huma would hold in memory.
func (s *server) imports(mux *http.ServeMux) {
	mux.HandleFunc("POST "+basePath+"/accounts/{account}/endpoints:import", s.guarded(s.importEndpoints))
	mux.HandleFunc("GET "+basePath+"/accounts/{account}/endpoints:export", s.guarded(s.exportEndpoints))
}

// guarded asks for the token and turns an error into an answer.
func (s *server) guarded(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := s.authorize(r.Header.Get("Authorization"))
		if err == nil {
			err = f(w, r)
		}
		if err == nil {
			return
		}
		failed := s.fail(err).(*failure)
		w.Header().Set("Content-Type", failed.ContentType(""))
		w.WriteHeader(failed.Status)
		_ = json.NewEncoder(w).Encode(failed) // the client may be gone
	}
}

// importBytes bounds one import.
const importBytes = 4 << 30

func (s *server) importEndpoints(w http.ResponseWriter, r *http.Request) error {
	account := r.PathValue("account")
	done, err := s.Directory.Import(r.Context(), gatehouse.AccountName(account), endpointLines(http.MaxBytesReader(w, r.Body, importBytes)))
	if done.Created+done.Changed > 0 {
		s.audit(r.Context(), "import endpoints", account, "")
	}
	if err != nil {
		return gatehouse.Errorf(gatehouse.KindOf(err), "%w; %d endpoints before it are stored", err, done.Created+done.Changed+done.Unchanged)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(done)
}

// endpointLines reads definitions one after the other.
func endpointLines(r io.Reader) iter.Seq2[*directory.EndpointSpec, error] {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	return func(yield func(*directory.EndpointSpec, error) bool) {
		for n := 1; ; n++ {
			e := new(directory.EndpointSpec)
			err := d.Decode(e)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, gatehouse.Errorf(gatehouse.Invalid, "endpoint %d of the import: %w", n, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *server) exportEndpoints(w http.ResponseWriter, r *http.Request) error {
	a, err := s.account(r.PathValue("account"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for e := range a.Endpoints("") {
		if lines.Encode(e.Spec()) != nil {
			return nil // the client is gone
		}
	}
	return nil
}
