package process

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairwaycd/fairway"
)

func TestReadinessFollowsItsProbe(t *testing.T) {
	t.Parallel()
	f := start(t)
	changes := make(chan fairway.Instance, 10)
	defer f.Subscribe(func(i fairway.Instance) { changes <- i })()
	f.apply("a", withPort+"readinessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 1, failureThreshold: 1}")
	i := f.ready("a")
	<-changes
	get(t, i.Address, "/set?health=500")
	if v := <-changes; v.Ready || !strings.Contains(v.Reason, "answered 500 Internal Server Error") {
		t.Errorf("announced %+v", v)
	}
	get(t, i.Address, "/set?health=302")
	if v := <-changes; !v.Ready || v.PID != i.PID || v.Reason != "" {
		t.Errorf("announced %+v", v)
	}
}

func TestExecProbe(t *testing.T) {
	t.Parallel()
	f := start(t)
	bad := filepath.Join(f.root, "app", "bad")
	must(t, os.WriteFile(bad, nil, 0o600))
	f.apply("a", `
args: [-idle]
readinessProbe: {exec: {command: [./child, -probe, bad]}, periodSeconds: 1}`)
	eventually(t, "the probe's answer", func() bool { return strings.Contains(f.instance("a").Reason, "exit status 7") })
	contains(t, f.instance("a").Reason, "its readiness probe ./child -probe bad failed", "the file is there")
	must(t, os.Remove(bad))
	if i := f.ready("a"); i.Address != "" || i.MetricsAddress != "" {
		t.Errorf("got an address without a port: %+v", i)
	}
}

func TestExecProbeThatHangs(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", "args: [-idle]\nreadinessProbe: {exec: {command: [/app/child, -idle]}, timeoutSeconds: 1}")
	eventually(t, "the probe's answer", func() bool { return strings.Contains(f.instance("a").Reason, "got no answer within 1s") })
}

func TestLivenessProbeRestarts(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+"livenessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1, failureThreshold: 1}")
	i := f.ready("a")
	get(t, i.Address, "/set?health=500")
	eventually(t, "a restart", func() bool { v := f.instance("a"); return v.Ready && v.Restarts == 1 && v.PID != i.PID })
	if runs(i.PID) {
		t.Error("the old process runs")
	}
}

func TestStartupProbe(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.CrashLimit = 1 })
	f.apply("a", withPort+`
args: ["-health=503"]
startupProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1, failureThreshold: 2}`)
	f.never("a", "was restarted because its startup probe GET http://127.0.0.1:", "503")
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+"args: [-idle]")
	eventually(t, "the reason", func() bool { return strings.Contains(f.instance("a").Reason, "listen on the port in $PORT") })
}

func TestPortIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	before := f.ready("a")
	f.shutdown()
	l, err := net.Listen("tcp", before.Address)
	must(t, err)
	defer l.Close()
	f.restart()
	if after := f.ready("a"); after.Address == before.Address {
		t.Errorf("the address is still %s", after.Address)
	}
}

func TestAnotherPortAfterAddressInUse(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.CrashLimit = 3 })
	f.apply("a", withPort+`args: ["-exit=1", "-say=listen tcp: bind: address already in use {{port}}"]`)
	f.never("a", "address already in use")
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	ports := map[string]bool{}
	for line := range strings.Lines(log.String()) {
		if _, port, ok := strings.Cut(line, "already in use "); ok {
			ports[port] = true
		}
	}
	if len(ports) < 2 {
		t.Errorf("tried are the ports %v, want several", ports)
	}
}

// timeline runs a prober against answers by the second and returns what it
// reported.
func timeline(t *testing.T, s *spec, until time.Duration, answer func(kind string, at time.Duration) error) []string {
	var log []string
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		say := func(what string) { log = append(log, time.Since(began).String()+" "+what) }
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		last := ""
		r := prober{spec: s, startedAt: began, ask: func(_ context.Context, p *probe) error { return answer(p.kind, time.Since(began)) },
			ready: func(ok bool, _ error) {
				state := map[bool]string{true: "ready", false: "unready"}[ok]
				if state != last {
					say(state)
				}
				last = state
			},
			dead: func(p *probe, _ error) { say("dead by " + p.kind) }}
		r.run(ctx)
	})
	return log
}

func TestProberTimelines(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	second := time.Second
	ready := &probe{kind: "readiness", initialDelay: 2 * second, period: 10 * second, successes: 1, failures: 3}
	alive := &probe{kind: "liveness", initialDelay: 5 * second, period: 10 * second, successes: 1, failures: 2}
	startup := &probe{kind: "startup", period: 10 * second, successes: 1, failures: 3}
	for _, tc := range []struct {
		name   string
		spec   spec
		answer func(kind string, at time.Duration) error
		want   string
	}{
		{"eager until the first success", spec{readiness: ready}, func(_ string, at time.Duration) error {
			if at < 3*second {
				return broken
			}
			return nil
		}, "2s unready, 3s ready"},
		{"unready after the threshold, at the pace of the period", spec{readiness: ready}, func(_ string, at time.Duration) error {
			if at > 10*second && at < 40*second {
				return broken
			}
			return nil
		}, "2s ready, 32s unready, 42s ready"},
		{"liveness", spec{readiness: ready, liveness: alive}, func(kind string, at time.Duration) error {
			if kind == "liveness" && at > 10*second {
				return broken
			}
			return nil
		}, "2s ready, 30s dead by liveness"},
		{"startup failures count once a period", spec{readiness: ready, startup: startup}, func(string, time.Duration) error { return broken },
			"0s unready, 20s dead by startup"},
		{"startup holds the others back", spec{readiness: ready, liveness: alive, startup: startup}, func(kind string, at time.Duration) error {
			if kind == "startup" && at < 12*second {
				return broken
			}
			return nil
		}, "0s unready, 12s ready"},
		{"no port, no probe", spec{}, func(string, time.Duration) error { return nil }, "1s ready"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(timeline(t, &tc.spec, 60*second, tc.answer), ", "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
