package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/danielgtaylor/huma/v2"
)

// registerAliases says how types that write themselves look in JSON.
func registerAliases(r huma.Registry) {
	r.RegisterTypeAlias(reflect.TypeFor[directory.Raw](), reflect.TypeFor[any]())
	r.RegisterTypeAlias(reflect.TypeFor[config.Size](), reflect.TypeFor[string]())
	r.RegisterTypeAlias(reflect.TypeFor[config.Duration](), reflect.TypeFor[string]())
}

// A Definition is one thing an administrator has defined.
type Definition[T any] struct {
	Account  string `json:"account"`
	Name     string `json:"name"`
	Revision uint64 `json:"revision" doc:"Grows with every change; also in the ETag"`
	Spec     T      `json:"spec"`
	// Keys are shown once, to whoever has created it.
	Keys any `json:"keys,omitempty" doc:"Only in the answer to its creation"`
}

// What paths, queries, headers and bodies of operations have in common. The
// names are exported because that is how huma finds the fields.
type (
	// AccountPath names an account.
	AccountPath struct {
		Account string `path:"account" maxLength:"128" doc:"Name of the account"`
	}
	// NamePath names a definition in an account.
	NamePath struct {
		AccountPath
		Name string `path:"name" maxLength:"128" doc:"Name of the definition"`
	}
	// Conditions say what must be true of what is changed.
	Conditions struct {
		IfMatch     string `header:"If-Match" doc:"ETag that the definition must have"`
		IfNoneMatch string `header:"If-None-Match" doc:"An asterisk: it must not exist yet"`
	}
	// Written is a definition that the operation reads itself, strictly.
	Written struct {
		Conditions
		RawBody []byte `contentType:"application/json"`
	}
	definitionOutput[T any] struct {
		Status int
		ETag   string `header:"ETag"`
		Body   Definition[T]
	}
	// Page says which part of a list is wanted.
	Page struct {
		After string `query:"after" doc:"Only what comes behind this name"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	listed[T any] struct {
		Body struct {
			Items []Definition[T] `json:"items"`
			Next  string          `json:"next,omitempty" doc:"Value of after for the next page; missing on the last"`
		}
	}
)

// spec is a pointer to T that is a definition.
type spec[T any] interface {
	*T
	directory.Spec
}

// tag is the ETag of a revision.
func tag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// condition reads If-Match and If-None-Match.
func (c *Conditions) condition() (uint64, error) {
	switch {
	case c.IfNoneMatch == "*":
		return directory.Absent, nil
	case c.IfMatch == "":
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(c.IfMatch, "W/"), `"`), 10, 64)
	if err != nil {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "If-Match %q is not an ETag of this API", c.IfMatch)
	}
	return n, nil
}

// account returns an account, or the error that there is none.
func (s *server) account(name string) (*directory.Account, error) {
	if a := s.Directory.Current().Account(gatehouse.AccountName(name)); a != nil {
		return a, nil
	}
	return nil, gatehouse.Errorf(gatehouse.NotFound, "there is no account %q", name)
}

// operation describes an operation below an account.
func operation(method, path, id, summary, tag string) huma.Operation {
	return huma.Operation{
		Method: method, Path: basePath + path, OperationID: id, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: maxBody, Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict},
	}
}

// definitions registers the operations on one kind of definition.
func definitions[T any, P spec[T]](s *server, api huma.API, plural string, kind directory.Kind) {
	all, one := "/accounts/{account}/"+plural, "/accounts/{account}/"+plural+"/{name}"
	singular := kind.String()
	huma.Register(api, operation(http.MethodGet, all, "list-"+plural, "List "+plural, plural), func(_ context.Context, in *struct {
		AccountPath
		Page
		Search
	},
	) (*listed[T], error) {
		rows, more, err := s.rows(kind, in.Account, &in.Page, &in.Search)
		if err != nil {
			return nil, s.fail(err)
		}
		out := new(listed[T])
		out.Body.Items = make([]Definition[T], 0, len(rows))
		for i := range rows {
			out.Body.Items = append(out.Body.Items, definitionOf[T, P](&rows[i]))
		}
		if more && len(rows) > 0 {
			out.Body.Next = rows[len(rows)-1].Name
		}
		return out, nil
	})
	huma.Register(api, operation(http.MethodGet, one, "get-"+singular, "Show one "+singular, plural), func(_ context.Context, in *NamePath) (*definitionOutput[T], error) {
		a, err := s.account(in.Account)
		if err != nil {
			return nil, s.fail(err)
		}
		row, err := a.Row(kind, in.Name)
		if err != nil {
			return nil, s.fail(err)
		}
		return &definitionOutput[T]{Status: http.StatusOK, ETag: tag(row.Revision), Body: definitionOf[T, P](&row)}, nil
	})
	put := operation(http.MethodPut, one, "put-"+singular, "Create or replace one "+singular, plural)
	put.RequestBody, put.SkipValidateBody = bodyOf[T](api), true
	huma.Register(api, put, func(ctx context.Context, in *struct {
		NamePath
		Written
	},
	) (*definitionOutput[T], error) {
		return put1[T, P](ctx, s, in.Account, in.Name, &in.Written)
	})
	huma.Register(api, operation(http.MethodDelete, one, "delete-"+singular, "Delete one "+singular, plural), func(ctx context.Context, in *struct {
		NamePath
		Conditions
	},
	) (*struct{}, error) {
		return nil, s.delete(ctx, in.Account, kind, in.Name, &in.Conditions)
	})
}

// bodyOf describes a body that an operation reads itself.
func bodyOf[T any](api huma.API) *huma.RequestBody {
	schema := huma.SchemaFromType(api.OpenAPI().Components.Schemas, reflect.TypeFor[T]())
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

func definitionOf[T any, P spec[T]](row *directory.Row) Definition[T] {
	return Definition[T]{Account: string(row.Account), Name: row.Name, Revision: row.Revision, Spec: *row.Spec.(P)}
}

// put1 creates or replaces one definition.
func put1[T any, P spec[T]](ctx context.Context, s *server, account, name string, in *Written) (*definitionOutput[T], error) {
	wanted, err := decode[T](in.RawBody)
	if err != nil {
		return nil, s.fail(err)
	}
	if err := adoptName(P(wanted), name); err != nil {
		return nil, s.fail(err)
	}
	revision, err := in.condition()
	if err != nil {
		return nil, s.fail(err)
	}
	kind := P(wanted).SpecKind()
	before := s.exists(kind, account, name)
	row, err := s.Directory.Put(ctx, gatehouse.AccountName(account), P(wanted), revision)
	if err != nil {
		return nil, s.fail(err)
	}
	s.audit(ctx, "put "+kind.String(), account, name)
	out := &definitionOutput[T]{Status: http.StatusOK, ETag: tag(row.Revision), Body: definitionOf[T, P](&row)}
	if !before {
		out.Status = http.StatusCreated
		out.Body.Keys, err = s.newKeys(kind, account, name)
	}
	return out, s.fail(err)
}

func (s *server) exists(k directory.Kind, account, name string) bool {
	a := s.Directory.Current().Account(gatehouse.AccountName(account))
	if a == nil || k == directory.KindAccount {
		return a != nil
	}
	_, err := a.Row(k, name)
	return err == nil
}

// newKeys returns the keys of what was just created, if it has any.
func (s *server) newKeys(k directory.Kind, account, name string) (any, error) {
	switch k {
	case directory.KindEndpoint:
		k, err := s.Directory.Reveal(gatehouse.AccountName(account), gatehouse.EndpointName(name))
		return EndpointKeys{keysOf(k.Send), keysOf(k.Listen)}, err
	case directory.KindPolicy:
		k, err := s.Directory.RevealPolicy(gatehouse.AccountName(account), gatehouse.PolicyName(name))
		return keysOf(k), err
	}
	return nil, nil
}

func (s *server) delete(ctx context.Context, account string, k directory.Kind, name string, c *Conditions) error {
	revision, err := c.condition()
	if err != nil {
		return s.fail(err)
	}
	if err := s.Directory.Delete(ctx, gatehouse.AccountName(account), k, name, revision); err != nil {
		return s.fail(err)
	}
	s.audit(ctx, "delete "+k.String(), account, name)
	return nil
}

// decode reads a body strictly: an unknown member is an error.
func decode[T any](body []byte) (*T, error) {
	v := new(T)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the body is not as described: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "there is more behind the body's JSON document")
	}
	return v, nil
}

// adoptName gives a definition the name of its path, unless it has it already.
func adoptName(s directory.Spec, name string) error {
	if s.SpecName() == "" {
		reflect.ValueOf(s).Elem().FieldByName("Name").SetString(name)
		return nil
	}
	if gatehouse.Fold(s.SpecName()) != gatehouse.Fold(name) {
		return gatehouse.Errorf(gatehouse.Invalid, "the body is named %q and the path %q; a name cannot be changed", s.SpecName(), name)
	}
	return nil
}

// Search limits a list of endpoints; other kinds take only the page.
type Search struct {
	Prefix string `query:"prefix" doc:"Endpoints only: how the name begins"`
	Glob   string `query:"glob" doc:"Endpoints only: the whole name, with * and ?"`
	Labels string `query:"labels" doc:"Endpoints only: selector such as site=oslo,kind!=test"`
}

func (s *server) rows(k directory.Kind, account string, p *Page, q *Search) (rows []directory.Row, more bool, err error) {
	a, err := s.account(account)
	if err != nil {
		return nil, false, err
	}
	if *q == (Search{}) {
		rows = a.Rows(k, p.After, p.Limit+1)
		more = len(rows) > p.Limit
		return rows[:min(len(rows), p.Limit)], more, nil
	}
	if k != directory.KindEndpoint {
		return nil, false, gatehouse.Errorf(gatehouse.Invalid, "only endpoints can be searched by prefix, glob or labels")
	}
	found, more, err := a.Search(directory.Search{Prefix: q.Prefix, Glob: q.Glob, Labels: q.Labels, After: p.After, Limit: p.Limit})
	for _, e := range found {
		rows = append(rows, directory.Row{
			Ref:      directory.Ref{Kind: k, Account: a.Name(), Name: string(e.Name())},
			Revision: e.Revision(), Spec: e.Spec(),
		})
	}
	return rows, more, err
}
