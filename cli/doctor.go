package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// Bounds of what is well.
const (
	roomToWork = 2 << 30   // bytes that a few versions of a few services need
	roomToRun  = 256 << 20 // below it nothing new is taken
	clockOff   = 5 * time.Second
	clockWrong = time.Minute
)

func (c *cli) doctorCommand() *cobra.Command {
	var out outputFlag
	d := doctor{c: c}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine, the server and all that it works with, and say what to do",
		Long: long("Looks at the data directory, its permissions and the room on its disk, the ports, the clock, programs and versions; and, where a server answers, has it ask everybody that it works with: monitoring systems, registries, upstreams, the platform. Each check says ok, warn or fail, the reason, and what to do.",
			"something does not work and you do not know why, before a start on a new machine, or after an upgrade. It changes nothing, and works without a server, too.",
			"the exit code is 1 when a check failed; warnings are none. Do what the checks say, and run it again."),
		Example: example("fairway doctor", "fairway doctor -o json", "fairway doctor --data /var/lib/fairway --gateway 127.0.0.1:9000"),
		Args:    words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.run(cmd.Context())
			if err := c.print(out, d.found, d.show); err != nil {
				return err
			}
			n := 0
			for _, x := range d.found {
				if x.State == api.CheckFail {
					n++
				}
			}
			if n > 0 {
				return &ExitError{Code: ExitFailed, Err: fmt.Errorf("%d of %d checks failed", n, len(d.found))}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&d.gateway, "gateway", "127.0.0.1:8000", "`address` of the gateway of a Fairway on this machine")
	out.bind(cmd.Flags())
	return cmd
}

// doctor gathers what it finds.
type doctor struct {
	c       *cli
	gateway string
	found   []api.Finding
}

func (d *doctor) add(name, state, text, remedy string) {
	if state == api.CheckOK {
		remedy = ""
	}
	d.found = append(d.found, api.Finding{Name: name, State: state, Text: text, Remedy: remedy})
}

func (d *doctor) run(ctx context.Context) {
	d.found = []api.Finding{}
	d.dataDirectory()
	d.programs(ctx)
	answers := d.server(ctx)
	d.ports(answers)
	if answers {
		d.behind(ctx)
	}
}

func (d *doctor) show(w io.Writer) {
	for _, x := range d.found {
		fmt.Fprintf(w, "%s  %s: %s\n", d.c.paint(map[string]string{api.CheckOK: "ok", api.CheckFail: "failed"}[x.State], fmt.Sprintf("%-4s", x.State)), x.Name, oneLine(x.Text))
		if x.Remedy != "" {
			fmt.Fprintf(w, "      → %s\n", x.Remedy)
		}
	}
}

// dataDirectory looks at the directory of a Fairway on this machine.
func (d *doctor) dataDirectory() {
	const name = "data directory"
	token, err := d.c.tokenFile()
	if err != nil {
		d.add(name, api.CheckWarn, "none is known on this machine: "+err.Error(), "name it with --data")
		return
	}
	dir := filepath.Dir(token)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(name, api.CheckOK, dir+" is not there yet; `fairway up` makes it", "")
		for dir != filepath.Dir(dir) && errors.Is(err, fs.ErrNotExist) {
			dir = filepath.Dir(dir)
			_, err = os.Stat(dir)
		}
		d.room(dir)
		return
	case err != nil:
		d.add(name, api.CheckFail, err.Error(), "let your user read "+dir+", or name another directory with --data")
		return
	case !info.IsDir():
		d.add(name, api.CheckFail, dir+" is no directory", "move that file away, or name another directory with --data")
		return
	case info.Mode().Perm()&0o077 != 0:
		d.add(name, api.CheckWarn, fmt.Sprintf("others on this machine may enter %s (mode %04o)", dir, info.Mode().Perm()), "chmod 700 "+dir)
	default:
		d.add(name, api.CheckOK, dir, "")
	}
	d.secrets(dir)
	d.room(dir)
}

// secrets looks at the files that others must not read.
func (d *doctor) secrets(dir string) {
	const name = "permissions"
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.add(name, api.CheckFail, err.Error(), "let your user read "+dir)
		return
	}
	var open []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			open = append(open, filepath.Join(dir, e.Name()))
		}
	}
	token := filepath.Join(dir, "token")
	if _, err := os.ReadFile(token); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.add(name, api.CheckFail, "the token cannot be read: "+err.Error(), "run this as the user that runs `fairway up`, or give a token with --token")
		return
	}
	if len(open) == 0 {
		d.add(name, api.CheckOK, "nobody else can read the token and what lies beside it", "")
		return
	}
	state := api.CheckWarn
	if slices.Contains(open, token) {
		state = api.CheckFail
	}
	d.add(name, state, "others on this machine may read "+strings.Join(open, ", "), "chmod 600 "+strings.Join(open, " ")+"; if others may have read the token, remove it while Fairway is stopped, and the next start makes another")
}

func (d *doctor) room(dir string) {
	const name = "disk"
	if d.c.Room == nil {
		return
	}
	free, total, err := d.c.Room(dir)
	text := fmt.Sprintf("%d of %d MiB are free below %s", free>>20, total>>20, dir)
	const remedy = "make room, or put the data directory on another disk with --data"
	switch {
	case err != nil:
		d.add(name, api.CheckFail, err.Error(), remedy)
	case free < roomToRun:
		d.add(name, api.CheckFail, text+"; nothing new is taken", remedy)
	case free < roomToWork:
		d.add(name, api.CheckWarn, text+"; images need more before long", remedy)
	default:
		d.add(name, api.CheckOK, text, "")
	}
}

// programs looks for what people use beside Fairway, which needs none.
func (d *doctor) programs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, p := range []struct{ name, arg, what string }{
		{"git", "--version", "a project's configuration cannot be cloned on this machine"},
		{"kubectl", "version", "it is of use only with a cluster"},
	} {
		path, err := exec.LookPath(p.name)
		if err != nil {
			state := api.CheckOK
			if p.name == "git" {
				state = api.CheckWarn
			}
			d.add(p.name, state, "is not there; "+p.what, "install it with your system's packages")
			continue
		}
		args := []string{p.arg}
		if p.name == "kubectl" {
			args = append(args, "--client")
		}
		text, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if err != nil {
			d.add(p.name, api.CheckWarn, path+" does not work: "+oneLine(err.Error()+" "+line), "install it anew")
			continue
		}
		d.add(p.name, api.CheckOK, path+", "+line, "")
	}
}

// server asks whether one answers, and compares version and clock. It reports
// whether it can be asked more.
func (d *doctor) server(ctx context.Context) bool {
	const name = "server"
	address, err := d.c.serverURL()
	if err != nil {
		d.add(name, api.CheckFail, err.Error(), "write --server http://HOST:PORT")
		return false
	}
	b, err := d.c.backend()
	if err != nil {
		d.add(name, api.CheckFail, err.Error(), "start one with: fairway up; or give its token with --token")
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := b.Status(ctx)
	switch {
	case fairway.KindOf(err) == fairway.KindUnavailable && err != nil:
		d.add(name, api.CheckWarn, err.Error(), "start it with: fairway up; or name another with --server")
		return false
	case err != nil:
		d.add(name, api.CheckFail, err.Error(), "give the token that lies in its data directory with --token")
		return false
	case !s.Ready:
		d.add(name, api.CheckFail, address.String()+" is not ready", "wait a moment; why it is not shows below")
	default:
		d.add(name, api.CheckOK, address.String()+" answers, and is ready", "")
	}
	state := api.CheckOK
	if s.Version != d.c.Version {
		state = api.CheckWarn
	}
	d.add("versions", state, fmt.Sprintf("this program is %s, the server is %s", d.c.Version, s.Version), "install the same version on both")
	d.clock(ctx, address.String())
	return true
}

// clock compares the server's clock with this machine's.
func (d *doctor) clock(ctx context.Context, address string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/healthz", nil)
	if err != nil {
		return // the address has been understood before
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return // which the server's check tells
	}
	resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return // something before the server leaves it out
	}
	off := began.Sub(at).Abs()
	state := api.CheckOK
	switch {
	case off > clockWrong:
		state = api.CheckFail
	case off > clockOff:
		state = api.CheckWarn
	}
	d.add("clock", state, fmt.Sprintf("the server's and this machine's differ by %s", off.Round(time.Second)), "let both be set by NTP: windows of tests and ages are wrong otherwise")
}

// behind has the server ask all that it works with.
func (d *doctor) behind(ctx context.Context) {
	b, err := d.c.backend()
	if err == nil {
		var all []api.Finding
		if all, err = b.Checks(ctx); err == nil {
			d.found = append(d.found, all...)
			return
		}
	}
	d.add("server's checks", api.CheckFail, err.Error(), "see the log of `fairway up`")
}
