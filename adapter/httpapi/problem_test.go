package httpapi

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

func fail(t *testing.T, err error, accept string) *httptest.ResponseRecorder {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/a/b", nil)
	r.Header.Set("Accept", accept)
	newProblem(slog.New(slog.DiscardHandler), r, err).write(w, r)
	return w
}

func TestProblem(t *testing.T) {
	t.Parallel()
	w := fail(t, &gatehouse.Error{Kind: gatehouse.RateLimited, Rule: "slow", Text: "too fast", RetryAfter: 1500 * time.Millisecond}, "")
	var p map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != 429 || w.Header().Get("Retry-After") != "2" || w.Header().Get("Content-Type") != "application/problem+json" ||
		p["type"] != "urn:gatehouse:problem:RateLimited" || p["rule"] != "slow" || p["retryAfter"] != 1.5 || p["detail"] != "too fast" || p["status"] != 429.0 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := fail(t, gatehouse.Errorf(gatehouse.Unavailable, "x"), ""); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("Unavailable: %d %v", w.Code, w.Header())
	}
	w = fail(t, gatehouse.Errorf(gatehouse.Revoked, "the publisher is revoked"), "")
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "SharedAccessSignature" || !strings.Contains(w.Body.String(), "publisher-revoked") {
		t.Errorf("Revoked: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestProblemHidesWhatIsInternal(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("secret"), gatehouse.Wrap(gatehouse.Internal, errors.New("secret"), "secret")} {
		if w := fail(t, err, ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), "urn:uuid:") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := fail(t, gatehouse.Wrap(gatehouse.Unavailable, errors.New("secret"), "busy"), ""); strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a cause is shown: %s", w.Body)
	}
}

func TestProblemAsXML(t *testing.T) {
	t.Parallel()
	w := fail(t, gatehouse.Errorf(gatehouse.LockLost, "the lock <x> is gone"), "application/atom+xml")
	var e struct {
		XMLName xml.Name `xml:"Error"`
		Code    int
		Detail  string
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 404 || e.Code != 404 || e.Detail != "LockLost: the lock <x> is gone" {
		t.Errorf("%d %s: %v", w.Code, w.Body, err)
	}
	if w := fail(t, gatehouse.NotFound, "application/xml, application/json"); w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("JSON is preferred where both are taken: %v", w.Header())
	}
}
