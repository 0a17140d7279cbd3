package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

// TestCertificates gives an endpoint certificates, shows and exports them.
func TestCertificates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hash := strings.Repeat("0a", 32)
	list := []map[string]any{{"sha256": strings.ToUpper(hash), "rights": []string{"send"}}, {"dns": "e.example", "issuer": hash}}
	r.do(http.MethodPut, "/accounts/acme/endpoints/e", nil, map[string]any{"certificates": list}, nil)
	want := `"certificates":[{"sha256":"` + hash + `","rights":["send"]},{"dns":"e.example","issuer":"` + hash + `"}]`
	for _, path := range []string{"/accounts/acme/endpoints/e", "/accounts/acme/endpoints", "/accounts/acme/file", "/accounts/acme/endpoints:export"} {
		if w, body := r.raw(http.MethodGet, "/api/v1"+path, "", "Authorization", bearer); w.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, w.StatusCode, body)
		}
	}
	for text, wrong := range map[string]map[string]any{
		"certificates[0].sha256: it is not a thumbprint": {"certificates": []map[string]any{{"sha256": "pump"}}},
		"certificates[0]: it says nothing":               {"certificates": []map[string]any{{}}},
		"sha1":                                           {"certificates": []map[string]any{{"sha1": hash}}},
	} {
		if err := r.refused(gatehouse.Invalid, http.MethodPut, "/accounts/acme/endpoints/e", nil, wrong); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}
