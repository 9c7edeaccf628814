package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway/api"
)

// Every address of the API, with every method, asks for a token before all
// else, and does not tell one that is wrong from none.
func TestEveryRouteAsksForAToken(t *testing.T) {
	t.Parallel()
	a, _ := start(t, t.TempDir())
	defer stop(t, a)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for path, item := range doc.Paths {
		target := "http://" + a.Address() + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "x")
		for method := range item {
			for _, token := range []string{"", "Bearer wrong", "Basic eDp5"} {
				r, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), target, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				if token != "" {
					r.Header.Set("Authorization", token)
				}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				slow := token != "" && resp.StatusCode == http.StatusTooManyRequests // so that nobody tries them all
				if err != nil || !slow && (resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"kind":"unauthorized"`)) {
					t.Errorf("%s %s with %q: %s %s", method, path, token, resp.Status, body)
				}
				asked++
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d requests were made", asked)
	}
}

// A server that has just started finds nothing wrong with itself.
func TestChecksOfANewServer(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	all, err := c.Checks(t.Context())
	if err != nil || len(all) < 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, x := range all {
		if x.State != api.CheckOK || x.Name == "" || x.Text == "" {
			t.Errorf("%+v", x)
		}
	}
}
