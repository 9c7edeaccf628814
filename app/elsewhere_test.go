package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/image"
)

// registry is the request to add the hub.
func (h *hub) registry() api.AddRegistry {
	return api.AddRegistry{Project: "shop", Name: "hub", URL: "https://" + h.host, Username: hubUser, Password: hubSecret, CA: h.ca, Poll: "1s", Secret: hookKey}
}

func add(t *testing.T, c *api.Client, q api.AddRegistry) api.Registry {
	t.Helper()
	r, err := c.AddRegistry(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// looked waits until the registry was looked at without an error.
func looked(t *testing.T, c *api.Client) fairway.RegistryState {
	t.Helper()
	var s fairway.RegistryState
	eventually(t, "a look at the registry", func() bool {
		all, err := c.Registries(t.Context(), "shop")
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		s = all[0].State
		return s.Condition == fairway.RegistryWatched
	})
	return s
}

// Distribution tells of a push; a tag that moves while its delivery is under
// way changes nothing of it, and is a delivery of its own.
func TestDistributionNotifies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	h := newHub(t, "http://"+a.Address()+api.HookPrefix+"shop/hub/distribution")
	shop(t, c)
	q := h.registry()
	q.Poll = "0s"
	if r := add(t, c, q); r.Hooks != "http://"+a.Address()+"/api/v1/registries/shop/hub" || r.State.Condition != fairway.RegistryUnwatched {
		t.Errorf("added %+v", r)
	}
	first := h.push(t, "shop/web", "1.0.0", "a")
	h.push(t, "shop/unknown", "1.0.0", "b")
	h.push(t, "shop/web", "latest", "c")
	ds := waitFor(t, c, 1)
	if d := ds[0]; len(ds) != 1 || d.Artifact != (fairway.Artifact{Image: h.host + "/shop/web", Tag: "1.0.0", Digest: first}) {
		t.Fatalf("deliveries %+v, want one of %s", ds, first)
	}
	// It failed, since there is no such program, and not because it could not
	// be pulled with the project's credentials.
	if d := ds[0]; !strings.Contains(d.Reason, "none-a") {
		t.Errorf("the delivery ended with %s", d.Reason)
	}
	second := h.push(t, "shop/web", "1.0.0", "d")
	ds = waitFor(t, c, 2)
	if len(ds) != 2 || ds[0].Artifact.Digest != second || ds[1].Artifact.Digest != first {
		t.Errorf("deliveries %+v, want of %s and %s", ds, second, first)
	}
	all, err := c.Registries(t.Context(), "")
	if err != nil || all[0].State.Vendor != "distribution" || all[0].State.Heard.IsZero() {
		t.Errorf("registries %+v, %v", all, err)
	}
	stop(t, a)
	// Nothing of it is told again after a restart.
	a, c = start(t, dir)
	defer stop(t, a)
	if ds, err := c.Deliveries(t.Context(), api.DeliveryFilter{}); err != nil || len(ds) != 2 {
		t.Errorf("after a restart %+v, %v", ds, err)
	}
}

// A tag that moves while its delivery is under way changes nothing of it: what
// was resolved at its beginning runs in every stage.
func TestATagThatMovesChangesNothing(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	h := newHub(t, "")
	ctx := t.Context()
	if _, err := c.CreateProject(ctx, api.CreateProject{Name: "shop", Shipyard: "stages: [{name: dev, approval: manual}, {name: production}]\n"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.OnboardService(ctx, api.OnboardService{Project: "shop", Values: "service: {name: web}\n"}); err != nil {
		t.Fatal(err)
	}
	q := h.registry()
	q.Poll = "1h"
	add(t, c, q)
	img, err := image.Pack(image.PackRequest{Binary: buildSlow(t), Name: "web", Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	first := h.pushImage(t, "shop/web", "1", img)
	sent, err := c.SendArtifact(ctx, api.SendArtifact{Project: "shop", Service: "web", Image: h.host + "/shop/web", Tag: "1"})
	if err != nil {
		t.Fatal(err)
	}
	delivery := func() fairway.Delivery {
		d, err := c.Delivery(ctx, string(sent.Delivery))
		if err != nil {
			t.Fatal(err)
		}
		if d.Status.Ended() && d.Status != fairway.StatusFinished {
			t.Fatalf("the delivery ended %s: %s", d.Status, d.Reason)
		}
		return d
	}
	eventually(t, "it waits for approval in dev", func() bool { return delivery().Step == fairway.StepApprove })
	if moved := h.push(t, "shop/web", "1", "moved"); moved == first {
		t.Fatal("the tag has not moved")
	}
	if _, err := c.Command(ctx, api.Command{Verb: "approve", Delivery: string(sent.Delivery), Reason: "t"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it finished", func() bool { return delivery().Status == fairway.StatusFinished })
	services, err := c.Services(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range services[0].Stages {
		if o := stage.Occupants[fairway.Single]; o.Artifact.Digest != first || o.State != fairway.OccupantReleased {
			t.Errorf("in %s there is %+v, want %s", stage.Stage, o, first)
		}
	}
	if ds, err := c.Deliveries(ctx, api.DeliveryFilter{}); err != nil || len(ds) != 1 {
		t.Errorf("deliveries %+v, %v", ds, err)
	}
}

func TestTagsAreLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	h := newHub(t, "")
	shop(t, c)
	h.push(t, "shop/web", "0.1.0", "old")
	dry := h.registry()
	dry.DryRun = true
	if r := add(t, c, dry); len(r.Checked) != 2 || !r.Checked[1].OK || !strings.Contains(r.Checked[1].Text, "has 1 tags, of which 1 fit") {
		t.Errorf("a dry run says %+v", r.Checked)
	}
	if all, err := c.Registries(t.Context(), "shop"); err != nil || len(all) != 0 {
		t.Fatalf("a dry run added %+v, %v", all, err)
	}
	q := h.registry()
	q.Filter = ">=0.1.0"
	add(t, c, q)
	if s := looked(t, c); len(s.Repositories) != 1 || s.Repositories[0].Tags != 1 || s.Repositories[0].Image != h.host+"/shop/web" {
		t.Errorf("state %+v", s)
	}
	digest := h.push(t, "shop/web", "0.2.0", "new")
	h.push(t, "shop/web", "nightly", "x")
	if ds := waitFor(t, c, 1); len(ds) != 1 || ds[0].Artifact.Digest != digest {
		t.Errorf("deliveries %+v", ds)
	}
	stop(t, a)
	while := h.push(t, "shop/web", "0.3.0", "meanwhile")
	a, c = start(t, dir)
	defer stop(t, a)
	if ds := waitFor(t, c, 2); len(ds) != 2 || ds[0].Artifact.Digest != while {
		t.Errorf("after a restart %+v", ds)
	}
	h.answer.Store(http.StatusTooManyRequests)
	var s fairway.RegistryState
	eventually(t, "the registry asks to wait", func() bool {
		all, err := c.Registries(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		s = all[0].State
		return s.Condition == fairway.RegistryBusy
	})
	if wait := time.Until(s.Next); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("it is left alone for %s, want the hour that it asked for; %+v", wait, s)
	}
	if found, err := c.CheckRegistry(t.Context(), api.RegistryName{Project: "shop", Name: "hub"}); err != nil || found[0].OK || !strings.Contains(found[0].Text, "429") {
		t.Errorf("a check says %+v, %v", found, err)
	}
}

func TestRegistriesThatAreRefused(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	h := newHub(t, "")
	shop(t, c)
	for want, change := range map[string]func(*api.AddRegistry){
		"does not take the credentials":           func(q *api.AddRegistry) { q.Password = "wrong" },
		"authority that is not trusted":           func(q *api.AddRegistry) { q.CA = "" },
		"holds no certificate in PEM form":        func(q *api.AddRegistry) { q.CA = "x" },
		"cannot be reached":                       func(q *api.AddRegistry) { q.URL = "https://127.0.0.1:1" },
		"is Fairway's own registry":               func(q *api.AddRegistry) { q.URL, q.CA = "http://"+a.Address()+"/shop", "" },
		"is not a range of versions":              func(q *api.AddRegistry) { q.Filter = "newest" },
		"there is no project nobody":              func(q *api.AddRegistry) { q.Project = "nobody" },
		"leaves no way to hear of a push":         func(q *api.AddRegistry) { q.Poll, q.Secret = "0s", "" },
		"is not a time":                           func(q *api.AddRegistry) { q.Poll = "soon" },
		"is too short to keep others out":         func(q *api.AddRegistry) { q.Secret = "short" },
		"has no credentials to copy":              func(q *api.AddRegistry) { q.CopyPullSecret, q.Username, q.Password = true, "", "" },
		"has a path that no image can have":       func(q *api.AddRegistry) { q.URL += "/Shop" },
		"is not the address of a registry":        func(q *api.AddRegistry) { q.URL = h.host },
		"is not known; use newest":                func(q *api.AddRegistry) { q.DeliverExisting = "all" },
		`name "a b" is not the name`:              func(q *api.AddRegistry) { q.Name = "a b" },
		"and password belong together; give both": func(q *api.AddRegistry) { q.Password = "" },
	} {
		q := h.registry()
		change(&q)
		if _, err := c.AddRegistry(t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		} else if strings.Contains(err.Error(), hubSecret) || strings.Contains(err.Error(), hookKey) {
			t.Errorf("a secret is in %v", err)
		}
	}
	if all, err := c.Registries(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("added were %+v, %v", all, err)
	}
	add(t, c, h.registry())
	twice := h.registry()
	twice.Name, twice.URL = "again", twice.URL+"/shop"
	if _, err := c.AddRegistry(t.Context(), twice); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "hear of each push twice") {
		t.Errorf("a second one over the same images: %v", err)
	}
	events, err := c.Events(t.Context(), api.EventFilter{Type: fairway.TypeRegistryChanged})
	if err != nil || len(events) != 1 || bytes.Contains(events[0].Data, []byte(hubSecret)) || bytes.Contains(events[0].Data, []byte(hookKey)) {
		t.Errorf("events %+v, %v", events, err)
	}
	if _, err := c.RemoveRegistry(t.Context(), api.RegistryName{Project: "shop", Name: "hub"}); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(a.Data(), "registries", "known", "shop")); err == nil && len(left) > 0 {
		t.Errorf("left of it: %v", left)
	}
}

func TestAShipyardContradictsARegistry(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	h := newHub(t, "")
	if _, err := c.CreateProject(t.Context(), api.CreateProject{Name: "shop", Shipyard: "registry: team/shop\nstages: [{name: dev}]\n"}); err != nil {
		t.Fatal(err)
	}
	q := h.registry()
	q.URL += "/acme"
	if _, err := c.AddRegistry(t.Context(), q); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "registry: team/shop; write https://"+h.host+", or change") {
		t.Errorf("got %v", err)
	}
	q.URL = "https://" + h.host + "/team/shop"
	add(t, c, q)
	update := api.UpdateProject{Name: "shop", Shipyard: "registry: acme\nstages: [{name: dev}]\n"}
	if _, err := c.UpdateProject(t.Context(), update); fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), `registry "acme" is not the path of registry hub`) {
		t.Errorf("got %v", err)
	}
	q.URL = "https://" + h.host
	add(t, c, q)
	if _, err := c.OnboardService(t.Context(), api.OnboardService{Project: "shop", Values: "service: {name: web}\n"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service's repository is looked at", func() bool {
		s := looked(t, c)
		return len(s.Repositories) == 1 && s.Repositories[0].Image == h.host+"/team/shop/web"
	})
}

// send posts a notification.
func send(t *testing.T, a *app.App, path string, header http.Header, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.Address()+api.HookPrefix+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Host = "hooks.example.com" // through a tunnel
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestNotificationsThatAreRefused(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	h := newHub(t, "")
	shop(t, c)
	q := h.registry()
	q.Poll = "0s"
	add(t, c, q)
	digest := h.push(t, "shop/web", "1", "a")
	event := func(repository, tag string) string {
		return fmt.Sprintf(`{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"tag":%q,"digest":%q}],"repository":{"repo_full_name":%q}}}`, tag, digest, repository)
	}
	key := http.Header{"Authorization": {hookKey}}
	for _, tt := range []struct {
		name, path string
		header     http.Header
		body       string
		status     int
		want       string
	}{
		{"no secret", "shop/hub/harbor", nil, event("shop/web", "1"), 401, `"detail":"unauthorized"`},
		{"a wrong one", "shop/hub/harbor", http.Header{"Authorization": {"Bearer x"}}, event("shop/web", "1"), 401, `"detail":"unauthorized"`},
		{"Fairway's own token", "shop/hub/harbor", http.Header{"Authorization": {"Bearer " + a.Token()}}, event("shop/web", "1"), 401, `"detail":"unauthorized"`},
		{"no such registry", "shop/other/harbor", key, event("shop/web", "1"), 401, `"detail":"unauthorized"`},
		{"no such project", "nobody/hub/harbor", key, event("shop/web", "1"), 401, `"detail":"unauthorized"`},
		{"no such vendor", "shop/hub/quay", key, "{}", 404, "there are: distribution"},
		{"no JSON", "shop/hub/harbor", key, "<", 400, "is not a JSON object"},
		{"not Harbor's", "shop/hub/harbor", key, "{}", 422, "type"},
		{"too large", "shop/hub/harbor", key, strings.Repeat(" ", 5<<20), 413, "larger"},
		{"nobody's image", "shop/hub/harbor", key, event("shop/other", "1"), 202, "nothing listens"},
		{"not a tag of the shipyard", "shop/hub/harbor", key, event("shop/web", "latest"), 202, "the tags of the shipyard do not take latest"},
		{"not a push", "shop/hub/harbor", key, `{"type":"SCANNING_COMPLETED"}`, 202, "is no push"},
	} {
		status, text := send(t, a, tt.path, tt.header, tt.body)
		if status != tt.status || !strings.Contains(text, tt.want) || strings.Contains(text, hookKey) {
			t.Errorf("%s: %d %s, want %d with %s", tt.name, status, text, tt.status, tt.want)
		}
	}
	if ds, err := c.Deliveries(t.Context(), api.DeliveryFilter{}); err != nil || len(ds) != 0 {
		t.Errorf("deliveries %+v, %v", ds, err)
	}
	for _, way := range []struct {
		vendor string
		header http.Header
	}{{"harbor", key}, {"harbor", http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("any:"+hookKey))}}}} {
		status, text := send(t, a, "shop/hub/"+way.vendor, way.header, event("shop/web", "1"))
		if status != 202 || !strings.Contains(text, `"services":["web"]`) {
			t.Errorf("%v: %d %s", way, status, text)
		}
	}
	if ds := waitFor(t, c, 1); len(ds) != 1 {
		t.Errorf("one push that was told twice began %+v", ds)
	}
	all, err := c.Registries(t.Context(), "shop")
	if err != nil || all[0].State.Refused != 3 {
		t.Errorf("refused %+v, %v, want 3", all, err)
	}
	// An address that only decodes to one of notifications is none.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.Address()+"/api%2Fv1/registries/shop/hub/harbor", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("an encoded address: %d", answer.StatusCode)
	}
}

// What a pull secret holds, and that the local platform has none.
func TestPullSecret(t *testing.T) {
	t.Parallel()
	text, err := image.PullSecret(fairway.Registry{Name: "hub", URL: "https://hub.docker.com/acme", Username: "bot", Password: "pa55word"})
	var config struct {
		Auths map[string]struct{ Auth []byte }
	}
	if err != nil || json.Unmarshal(text, &config) != nil || string(config.Auths["https://index.docker.io/v1/"].Auth) != "bot:pa55word" {
		t.Errorf("got %s, %v", text, err)
	}
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	h := newHub(t, "")
	shop(t, c)
	q := h.registry()
	q.CopyPullSecret = true
	if r := add(t, c, q); r.PullSecret != "fairway-hub" || len(r.Warnings) != 1 {
		t.Errorf("added %+v", r)
	}
}

// What GitHub and Docker Hub send, up to the delivery; neither can be asked
// from here.
func TestNotificationsOfGitHubAndDockerHub(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	a, err := app.New(t.Context(), app.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0", LogOutput: &log})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := api.NewClient(api.ClientOptions{URL: "http://" + a.Address(), Token: a.Token()})
	shop(t, c)
	if _, err := c.OnboardService(t.Context(), api.OnboardService{Project: "shop", Values: "service: {name: carts}\n"}); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"hub": "https://docker.io/acme", "gh": "https://ghcr.io/acme"} {
		r := fairway.Registry{Project: "shop", Name: name, URL: url, Secret: hookKey, Username: hubUser, Password: hubSecret}
		if err := a.AddElsewhere(r); err != nil {
			t.Fatal(err)
		}
	}
	body := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "registries", "testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := body("github-package")
	mac := hmac.New(sha256.New, []byte(hookKey))
	mac.Write([]byte(text))
	header := http.Header{"X-Github-Event": {"package"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "Content-Type": {"application/json"}}
	if status, answer := send(t, a, "shop/gh/github", header, text); status != 202 || !strings.Contains(answer, `"services":["carts"]`) {
		t.Errorf("GitHub: %d %s", status, answer)
	}
	if status, answer := send(t, a, "shop/gh/github", header, text+" "); status != 401 {
		t.Errorf("GitHub, with another byte: %d %s", status, answer)
	}
	if status, answer := send(t, a, "shop/hub/dockerhub/"+hookKey, nil, body("dockerhub")); status != 202 || !strings.Contains(answer, `"services":["carts"]`) {
		t.Errorf("Docker Hub: %d %s", status, answer)
	}
	if status, _ := send(t, a, "shop/hub/dockerhub/wrong", nil, body("dockerhub")); status != 401 {
		t.Errorf("Docker Hub, with another secret: %d", status)
	}
	images := map[string]bool{}
	eventually(t, "both are deliveries", func() bool {
		ds, err := c.Deliveries(t.Context(), api.DeliveryFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			images[d.Artifact.String()] = true
		}
		return images["ghcr.io/acme/carts:0.6.0-1"] && images["docker.io/acme/carts:0.6.0-1"]
	})
	stop(t, a)
	for _, secret := range []string{hookKey, hubSecret} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
		err := filepath.WalkDir(a.Data(), func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "registries" {
				return nil
			}
			if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s is in %s", secret, path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
