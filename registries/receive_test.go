package registries_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/registries"
)

const secret = "0123456789abcdefSECRET"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func signed(body []byte, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// known is a notification of a sender that knows the secret.
func known(vendor, event string, body []byte) registries.Notification {
	n := registries.Notification{Vendor: vendor, Header: http.Header{}, Body: body}
	n.Header.Set("Content-Type", "application/json")
	switch vendor {
	case "distribution":
		n.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
		n.Header.Set("Authorization", "Bearer "+secret)
	case "harbor":
		n.Header.Set("Authorization", secret)
	case "dockerhub":
		n.Secret = secret
	case "github":
		n.Header.Set("X-GitHub-Event", event)
		n.Header.Set("X-Hub-Signature-256", signed(body, secret))
	}
	return n
}

func at(address string) fairway.Registry {
	return fairway.Registry{Project: "shop", Name: "r", URL: address, Secret: secret}
}

func TestVendorsBodies(t *testing.T) {
	t.Parallel()
	const harbor = "sha256:954b378c375d852eb3c63ab88978f640b4348b01c1b3456a024a81536dafbbf4"
	gitHub := registries.Push{Image: "ghcr.io/acme/carts", Tag: "0.6.0-1", Digest: "sha256:3da1996a8115d7616457760d9920b815241d0a03b34cf5f04e9a0e9d8de37498", Actor: "ada"}
	tests := []struct {
		file, vendor, event, url string
		want                     registries.Push
	}{
		{"distribution", "distribution", "", "https://registry.example.com", registries.Push{Image: "registry.example.com/shop/carts", Tag: "0.6.0-1",
			Digest: "sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf", ID: "asdf-asdf-asdf-asdf-1", Actor: "ada"}},
		{"harbor", "harbor", "", "https://registry.example.com", registries.Push{Image: "registry.example.com/shop/carts", Tag: "0.6.0-1", Digest: harbor, Actor: "robot$shop+ci"}},
		{"harbor-cloudevent", "harbor", "", "https://registry.example.com", registries.Push{Image: "registry.example.com/shop/carts", Tag: "0.6.0-1", Digest: harbor, Actor: "robot$shop+ci"}},
		{"dockerhub", "dockerhub", "", "https://hub.docker.com/acme", registries.Push{Image: "docker.io/acme/carts", Tag: "0.6.0-1", ID: "1417566161", Actor: "trustedbuilder"}},
		{"github-package", "github", "package", "https://ghcr.io/acme", gitHub},
		{"github-registry_package", "github", "registry_package", "https://ghcr.io/acme", gitHub},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			body := sample(t, tt.file)
			got, _, err := registries.Read(at(tt.url), known(tt.vendor, tt.event, body))
			if err != nil || len(got) != 1 || got[0] != tt.want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
			// One byte more is another body, and one letter less another secret.
			n := known(tt.vendor, tt.event, body)
			n.Body = append(n.Body, ' ')
			if _, _, err := registries.Read(at(tt.url), n); (tt.vendor == "github") != errors.Is(err, registries.ErrSecret) {
				t.Errorf("with a body that was changed: %v", err)
			}
			other := at(tt.url)
			other.Secret = fairway.Secret(secret[1:])
			for _, r := range []fairway.Registry{other, {Name: "r", URL: tt.url}} {
				if _, _, err := registries.Read(r, known(tt.vendor, tt.event, body)); !errors.Is(err, registries.ErrSecret) {
					t.Errorf("with secret %q: %v", string(r.Secret), err)
				}
			}
		})
	}
}

func TestSecretsInHeaders(t *testing.T) {
	t.Parallel()
	pair := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	}
	for header, ok := range map[string]bool{
		secret: true, "Bearer " + secret: true, "bearer  " + secret: true, "Basic " + pair("any", secret): true,
		"": false, "Bearer": false, "Bearer ": false, "Basic " + pair(secret, ""): false, "Basic !": false, secret + "x": false, "Token " + secret: false,
	} {
		n := known("harbor", "", sample(t, "harbor"))
		n.Header.Set("Authorization", header)
		if _, _, err := registries.Read(at("https://registry.example.com"), n); (err == nil) != ok {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestBodiesThatTellOfNoPush(t *testing.T) {
	t.Parallel()
	replaced := func(file, old, with string) []byte {
		body := string(sample(t, file))
		if !strings.Contains(body, old) {
			t.Fatalf("%s has no %s", file, old)
		}
		return []byte(strings.ReplaceAll(body, old, with))
	}
	tests := []struct {
		name, vendor, event string
		body                []byte
		why                 string
	}{
		{"pulls", "distribution", "", replaced("distribution", `"push"`, `"pull"`), "no event in it is the push of a tag"},
		{"empty envelope", "distribution", "", []byte(`{"events":[]}`), "no event in it is the push of a tag"},
		{"deleted", "harbor", "", replaced("harbor", "PUSH_ARTIFACT", "DELETE_ARTIFACT"), "is no push"},
		{"pushed by digest", "harbor", "", replaced("harbor", `"tag": "0.6.0-1"`, `"tag": "sha256:954b378c375d852eb3c63ab88978f640b4348b01c1b3456a024a81536dafbbf4"`), "has no tag"},
		{"ping", "github", "ping", []byte(`{"zen":"Keep it logically awesome.","hook_id":1}`), "tells of no package"},
		{"deleted package", "github", "package", replaced("github-package", "published", "deleted"), "not published"},
		{"npm", "github", "package", []byte(`{"action":"published","package":{"package_version":{"version":"1.0.0"}}}`), "no container image"},
		{"no tag", "github", "package", replaced("github-package", `"name": "0.6.0-1"`, `"name": ""`), "has no tag"},
	}
	for _, tt := range tests {
		got, why, err := registries.Read(at("https://ghcr.io"), known(tt.vendor, tt.event, tt.body))
		if err != nil || len(got) != 0 || !strings.Contains(why, tt.why) {
			t.Errorf("%s: got %v, %q, %v", tt.name, got, why, err)
		}
	}
}

func TestBodiesThatAreNot(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, vendor, event, url, body, want string }{
		{"no vendor", "quay", "", "", "{}", "there are: distribution, harbor, dockerhub, github"},
		{"no JSON", "harbor", "", "", "<html>", "not a JSON object"},
		{"cut off", "harbor", "", "", `{"type":`, "not a JSON object"},
		{"a list", "distribution", "", "", "[]", "not a JSON object"},
		{"nothing", "github", "package", "", "", "not a JSON object"},
		{"no events", "distribution", "", "", "{}", "events is missing"},
		{"events as text", "distribution", "", "", `{"events":"x"}`, "events is a string"},
		{"no digest", "distribution", "", "", `{"events":[{"action":"push","target":{"repository":"a/b","tag":"1"}}]}`, "events[0].target.digest is missing"},
		{"no repository", "distribution", "", "", `{"events":[{"action":"push","target":{"tag":"1"}}]}`, "events[0].target.repository is missing"},
		{"bad tag", "distribution", "", "", `{"events":[{"action":"push","target":{"repository":"a/b","tag":"a b","digest":"sha256:1"}}]}`, "is not an image tag"},
		{"no type", "harbor", "", "", "{}", "type is missing"},
		{"no resources", "harbor", "", "", `{"type":"PUSH_ARTIFACT"}`, "event_data.resources is missing"},
		{"no name", "harbor", "", "", `{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"tag":"1"}]}}`, "repo_full_name is missing"},
		{"no hub repository", "dockerhub", "", "", "{}", "repository.repo_name is missing"},
		{"not the hub's", "dockerhub", "", "", `{"repository":{"repo_name":"a/b"},"push_data":{"tag":"1"}}`, "is not the address of a registry at docker.io"},
		{"no kind", "github", "", "", "{}", "X-GitHub-Event is missing"},
		{"no version", "github", "package", "", `{"action":"published"}`, "package.package_version is missing"},
		{"elsewhere", "github", "package", "", `{"action":"published","package":{"package_version":{"package_url":"quay.io/a/b:1","container_metadata":{"tag":{"name":"1"}}}}}`, "is not the address of a registry at ghcr.io"},
	}
	for _, tt := range tests {
		url := "https://registry.example.com"
		pushes, _, err := registries.Read(at(url), known(tt.vendor, tt.event, []byte(tt.body)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(pushes) > 0 {
			t.Errorf("%s: got %v, %v\nwant %s", tt.name, pushes, err, tt.want)
		}
	}
}

// Whatever a sender that knows the secret writes, it is refused, or names
// artifacts that can be.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"distribution", "harbor", "harbor-cloudevent", "dockerhub", "github-package", "github-registry_package"} {
		f.Add(sample(f, file))
	}
	f.Add([]byte(`{"events":[{"action":"push","target":{"repository":"../x","tag":"1","digest":"sha256:0"}}]}`))
	f.Add([]byte(`{"push_data":{"pushed_at":1e999,"tag":"1"},"repository":{"repo_name":"a"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range registries.Vendors() {
			for _, event := range []string{"package", "registry_package"} {
				for _, url := range []string{"https://docker.io", "https://ghcr.io", "https://registry.example.com:5000/shop"} {
					r := at(url)
					pushes, why, err := registries.Read(r, known(v, event, body))
					if errors.Is(err, registries.ErrSecret) {
						t.Fatalf("%s: the secret was right", v)
					}
					if err == nil && len(pushes) == 0 && why == "" {
						t.Fatalf("%s: no push, and no word of why", v)
					}
					for _, p := range pushes {
						if err := p.Artifact().Validate(); err != nil {
							t.Fatalf("%s: %v", v, err)
						}
						if !strings.HasPrefix(p.Image, r.Host()+"/") {
							t.Fatalf("%s: %s is not at %s", v, p.Image, r.Host())
						}
					}
				}
			}
		}
	})
}
