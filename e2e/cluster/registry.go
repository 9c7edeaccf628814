package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Endpoint is somebody who wants to hear of pushes.
type Endpoint struct {
	URL    string
	Secret string // sent as Authorization: Bearer, if there is one
}

// Notify has the registry tell these endpoints of each push, and nobody else.
// The registry is started anew; what it holds stays.
func (c *Cluster) Notify(ctx context.Context, endpoints ...Endpoint) error {
	type endpoint struct {
		Name      string              `json:"name"`
		URL       string              `json:"url"`
		Headers   map[string][]string `json:"headers,omitempty"`
		Timeout   string              `json:"timeout"`
		Threshold int                 `json:"threshold"`
		Backoff   string              `json:"backoff"`
	}
	list := []endpoint{}
	for i, e := range endpoints {
		// One failure is enough to wait for: an event is not lost by it.
		out := endpoint{Name: fmt.Sprintf("endpoint-%d", i), URL: e.URL, Timeout: "2s", Threshold: 1, Backoff: "1s"}
		if e.Secret != "" {
			out.Headers = map[string][]string{"Authorization": {"Bearer " + e.Secret}}
		}
		list = append(list, out)
	}
	config, err := json.MarshalIndent(map[string]any{ // JSON is YAML
		"version": "0.1",
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{"filesystem": map[string]any{"rootdirectory": c.path("registry")}, "delete": map[string]any{"enabled": true},
			"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}}},
		"http":          map[string]any{"addr": "0.0.0.0:5000", "secret": "one registry, one process"},
		"notifications": map[string]any{"endpoints": list},
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path("registry.yaml"), config, 0o644); err != nil {
		return err
	}
	if err := c.stop(ctx, "registry"); err != nil {
		return err
	}
	return c.startRegistry(ctx)
}

func (c *Cluster) startRegistry(ctx context.Context) error {
	if _, err := os.Stat(c.path("registry.yaml")); err != nil {
		return c.Notify(ctx)
	}
	if err := c.start("registry", c.Bin("registry"), "serve", c.path("registry.yaml")); err != nil {
		return err
	}
	return await(ctx, "registry at "+Registry, 20*time.Second, func(ctx context.Context) error {
		return answers(ctx, "http://"+Registry+"/v2/")
	})
}

// answers says whether a GET is answered with 200.
func answers(ctx context.Context, url string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, a.Status)
	}
	return nil
}
