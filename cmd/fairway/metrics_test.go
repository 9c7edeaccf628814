package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway/internal/testenv"
)

// Dashboard, alert rules and reference name only metrics that there are.
func TestMetricsOnPaperExist(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run(t, "subscription", "add", "https://127.0.0.1:1/", "--private", "--tries", "1")
	s.shop(t, "stages:\n  - name: live\n", "1s")
	s.deliver(t, "1", "finished")
	refused, err := http.Get("http://" + s.ready.Listen + "/metrics")
	must(t, err)
	refused.Body.Close()
	token, err := s.token()
	must(t, err)
	var page string
	must(t, until("an event was tried to be sent", func() (bool, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.ready.Listen+"/metrics", nil)
		if err != nil {
			return false, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		page = string(body)
		return strings.Contains(page, "fairway_subscription_attempts_total{"), err
	}))
	for _, file := range []string{"../../deploy/grafana/fairway.json", "../../deploy/prometheus/fairway.rules.yml", "../../docs/reference/metrics.md"} {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, name := range regexp.MustCompile(`fairway_[a-z_]+|process_[a-z_]+[a-z]|go_[a-z]+`).FindAllString(string(text), -1) {
			switch {
			case name == "fairway_run" || strings.HasSuffix(name, "_"): // a label, a family
			case !strings.Contains(page, "# HELP "+name+" "):
				t.Errorf("%s names %s, which is not in /metrics", file, name)
			}
		}
	}
	must(t, s.stop())
}

func TestAlertRules(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "fairway.rules.yml"}, {"test", "rules", "fairway.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
