package admin

import (
	"context"
	"net/http"

	"github.com/gatehouse/gatehouse/directory"

	"github.com/danielgtaylor/huma/v2"
)

func (s *server) environment(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/environment", "get-environment", "Show the gateway's version, listeners and certificate authority", "environment"),
		func(context.Context, *struct{}) (*struct{ Body Environment }, error) {
			return &struct{ Body Environment }{s.Environment()}, nil
		})
}

// accounts registers the operations on accounts themselves.
func (s *server) accounts(api huma.API) {
	type T = directory.AccountSpec
	const all, one = "/accounts", "/accounts/{account}"
	huma.Register(api, operation(http.MethodGet, all, "list-accounts", "List accounts", "accounts"), func(_ context.Context, in *Page) (*listed[T], error) {
		out := new(listed[T])
		out.Body.Items = []Definition[T]{}
		for a := range s.Directory.Current().Accounts() {
			if in.After != "" && fold(string(a.Name())) <= fold(in.After) {
				continue
			}
			if len(out.Body.Items) == in.Limit {
				out.Body.Next = out.Body.Items[in.Limit-1].Name
				break
			}
			row, err := a.Row(directory.KindAccount, "")
			if err != nil {
				return nil, s.fail(err)
			}
			out.Body.Items = append(out.Body.Items, definitionOf[T](&row))
		}
		return out, nil
	})
	huma.Register(api, operation(http.MethodGet, one, "get-account", "Show one account", "accounts"), func(_ context.Context, in *AccountPath) (*definitionOutput[T], error) {
		a, err := s.account(in.Account)
		if err != nil {
			return nil, s.fail(err)
		}
		row, err := a.Row(directory.KindAccount, "")
		if err != nil {
			return nil, s.fail(err)
		}
		return &definitionOutput[T]{Status: http.StatusOK, ETag: tag(row.Revision), Body: definitionOf[T](&row)}, nil
	})
	put := operation(http.MethodPut, one, "put-account", "Create or replace one account", "accounts")
	put.RequestBody, put.SkipValidateBody = bodyOf[T](api), true
	huma.Register(api, put, func(ctx context.Context, in *struct {
		AccountPath
		Written
	},
	) (*definitionOutput[T], error) {
		return put1[T](ctx, s, in.Account, in.Account, &in.Written)
	})
	huma.Register(api, operation(http.MethodDelete, one, "delete-account", "Delete an account and everything in it", "accounts"), func(ctx context.Context, in *struct {
		AccountPath
		Conditions
	},
	) (*struct{}, error) {
		return nil, s.delete(ctx, in.Account, directory.KindAccount, in.Account, &in.Conditions)
	})
}
