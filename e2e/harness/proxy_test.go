package harness_test

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/harness"
)

func TestProxyBeforeTheApiserver(t *testing.T) {
	c := harness.Need(t)
	p := harness.NewProxy(t, c)
	get := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, c.Bin("kubectl"), "--kubeconfig", p.Kubeconfig, "get", "namespaces").CombinedOutput()
		return string(out), err
	}
	if out, err := get(); err != nil || !strings.Contains(out, "kube-system") {
		t.Fatalf("passed on: %v: %s", err, out)
	}
	p.Fail(func(*http.Request) int { return http.StatusInternalServerError })
	if out, err := get(); err == nil || p.Hits() == 0 {
		t.Errorf("told to fail, it answers %s", out)
	}
	p.Fail(nil)
	if out, err := get(); err != nil {
		t.Errorf("well again: %v: %s", err, out)
	}
}
