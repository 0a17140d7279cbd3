package admin

import (
	"encoding/json"
	"errors"

	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/problem"

	"github.com/danielgtaylor/huma/v2"
)

// A failure is the body of an error. It is what operations return.
type failure struct {
	problem.Problem
	// Problems lists everything that is wrong with a definition or a file.
	Problems directory.Problems `json:"problems,omitempty"`
	// Errors is what huma says about a request that it could not read.
	Errors []*huma.ErrorDetail `json:"errors,omitempty"`
}

// Error implements error.
func (f *failure) Error() string { return f.Detail }

// GetStatus implements huma.StatusError.
func (f *failure) GetStatus() int { return f.Status }

// ContentType implements huma.ContentTypeFilter.
func (f *failure) ContentType(string) string { return problem.ContentType }

// fail turns an error into what an operation returns; nil stays nil.
func (s *server) fail(err error) error {
	if err == nil {
		return nil
	}
	f := &failure{Problem: problem.New(err)}
	if f.Name() {
		s.Logger.Error("admin request failed", "instance", f.Instance, "error", err)
	}
	if p, ok := errors.AsType[directory.Problems](err); ok {
		f.Problems = p
	}
	return f
}

// writeProblem answers before an operation is reached.
func writeProblem(ctx huma.Context, err error) {
	p := problem.New(err)
	ctx.SetHeader("Content-Type", problem.ContentType)
	ctx.SetStatus(p.Status)
	body, _ := json.Marshal(p)          // strings and numbers: cannot fail
	_, _ = ctx.BodyWriter().Write(body) // the client may be gone
}
