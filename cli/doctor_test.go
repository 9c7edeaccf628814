package cli

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway/api"
)

// examined returns what the doctor finds in a data directory, without a server.
func examined(t *testing.T, dir, gateway string, room int64) []api.Finding {
	t.Helper()
	c := &cli{Options: withDefaults(Options{Version: "1", Room: func(string) (int64, int64, error) { return room, 1 << 40, nil }})}
	c.global.data, c.global.server = dir, "http://127.0.0.1:1"
	d := doctor{c: c, gateway: gateway}
	d.run(t.Context())
	var out bytes.Buffer
	d.show(&out)
	for _, x := range d.found {
		if x.State != api.CheckOK && (x.Remedy == "" || !strings.Contains(out.String(), x.Remedy)) {
			t.Errorf("%s: %s says not what to do", x.State, x.Name)
		}
	}
	return d.found
}

func stateOf(found []api.Finding, name string) string {
	i := slices.IndexFunc(found, func(c api.Finding) bool { return c.Name == name })
	if i < 0 {
		return "is missing"
	}
	return found[i].State
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	private := filepath.Join(t.TempDir(), "private")
	open := filepath.Join(t.TempDir(), "open")
	for dir, mode := range map[string]os.FileMode{private: 0o700, open: 0o755} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(private, "token")
	for name, c := range map[string]struct {
		found []api.Finding
		want  map[string]string
	}{
		"all is well":      {examined(t, private, "127.0.0.1:0", 1<<35), map[string]string{"data directory": "ok", "permissions": "ok", "disk": "ok", "server": "warn", "port of the gateway": "ok"}},
		"others may enter": {examined(t, open, "127.0.0.1:0", 1<<30), map[string]string{"data directory": "warn", "disk": "warn"}},
		"the disk is full": {examined(t, private, "127.0.0.1:0", 1<<20), map[string]string{"disk": "fail"}},
		"a port is taken":  {examined(t, private, busy.Addr().String(), 1<<35), map[string]string{"port of the gateway": "fail"}},
		"not made yet":     {examined(t, filepath.Join(private, "a", "b"), "127.0.0.1:0", 1<<35), map[string]string{"data directory": "ok", "disk": "ok"}},
		"a file":           {examined(t, file, "127.0.0.1:0", 1<<35), map[string]string{"data directory": "fail"}},
	} {
		for check, state := range c.want {
			if got := stateOf(c.found, check); got != state {
				t.Errorf("%s: %s is %s, want %s: %+v", name, check, got, state, c.found)
			}
		}
	}
	if _, err := os.Stat("/proc/net/tcp"); err == nil {
		if who := holder(busy.Addr().String()); !strings.Contains(who, "process "+strconv.Itoa(os.Getpid())) {
			t.Errorf("the port is held by %q, want this process", who)
		}
	}
}
