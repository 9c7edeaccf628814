package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// globalFlags are those of all commands.
type globalFlags struct {
	server, token, data string
	noColour, quiet     bool
}

func (g *globalFlags) bind(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.server, "server", "", "`address` of Fairway (default FAIRWAY_SERVER, else "+api.DefaultURL+")")
	f.StringVar(&g.token, "token", "", "API `token` (default FAIRWAY_TOKEN, else the file token of the data directory)")
	f.StringVar(&g.data, "data", "", "data `directory` of the Fairway on this machine")
	f.BoolVar(&g.noColour, "no-color", false, "print no colours (also when NO_COLOR is set)")
	f.BoolVar(&g.quiet, "quiet", false, "print results only, no progress and no remarks")
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// serverURL is the address of the server that this run talks to.
func (c *cli) serverURL() (*url.URL, error) {
	text := first(c.global.server, c.Env("FAIRWAY_SERVER"), api.DefaultURL)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fairway.Invalid("server", text, "is not the address of a server", "write http://HOST:PORT, e.g. "+api.DefaultURL)
	}
	return u, nil
}

// apiToken finds the token: what was named, else the file that a server on
// this machine has written. That file is never sent to another machine.
func (c *cli) apiToken(server *url.URL) (string, error) {
	if t := first(c.global.token, c.Env("FAIRWAY_TOKEN")); t != "" {
		return t, nil
	}
	if c.global.data == "" && !loopback(server.Hostname()) {
		return "", fairway.Errorf(fairway.KindUnauthorized, "no token for %s: the one in this machine's data directory is not sent to another machine", server.Host)
	}
	path, err := c.tokenFile()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fairway.Errorf(fairway.KindUnauthorized, "no token: there is no file %s, which `fairway up` writes at its first start", path)
	}
	if err != nil {
		return "", fairway.Errorf(fairway.KindUnauthorized, "read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (c *cli) tokenFile() (string, error) {
	dir := c.global.data
	if dir == "" && c.DefaultDataDir != nil {
		d, err := c.DefaultDataDir()
		if err != nil {
			return "", fmt.Errorf("find the data directory: %w", err)
		}
		dir = d
	}
	if dir == "" {
		return "", fairway.Errorf(fairway.KindUnauthorized, "no token was given")
	}
	return filepath.Join(dir, "token"), nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// backend returns the server that this run talks to.
func (c *cli) backend() (api.Backend, error) {
	server, err := c.serverURL()
	if err != nil {
		return nil, err
	}
	token, err := c.apiToken(server)
	if err != nil {
		return nil, err
	}
	return c.NewBackend(server.String(), token), nil
}

// println prints a result.
func (c *cli) println(text string) { fmt.Fprintln(c.Stdout, text) }

// remark prints what a person wants to know beyond the result.
func (c *cli) remark(format string, args ...any) {
	if !c.global.quiet {
		fmt.Fprintf(c.Stdout, format+"\n", args...)
	}
}

// warn prints a warning.
func (c *cli) warn(text string) { fmt.Fprintln(c.Stderr, "warning:", text) }

// coloured reports whether what goes to Stdout may be coloured.
func (c *cli) coloured() bool {
	return !c.global.noColour && c.Env("NO_COLOR") == "" && c.Env("TERM") != "dumb" && c.terminal(c.Stdout) > 0
}

func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	if columns < 20 {
		return 80 // some say that they have none
	}
	return columns
}

// maxFile is the most that is read of one file, in bytes.
const maxFile = 16 << 20

// readFile reads a file that the user named; "-" is the standard input.
func (c *cli) readFile(flag, name string) ([]byte, error) {
	if name != "-" {
		return readPath(flag, name)
	}
	if c.stdin {
		return nil, fairway.Invalid(flag, name, "is the standard input, which has been read already", "use - once")
	}
	c.stdin = true
	b, err := io.ReadAll(io.LimitReader(c.Stdin, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the standard input: %w", err)
	}
	if len(b) > maxFile {
		return nil, fairway.Invalid(flag, name, "is longer than the standard input may be", fmt.Sprintf("at most %d bytes are taken", maxFile))
	}
	return b, nil
}

// fileLabel is what messages call a file that the user named.
func fileLabel(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// readPath reads a file; flag is what the user named it by.
func readPath(flag, name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fairway.Invalid(flag, name, "does not exist", "name a file that can be read")
	case err != nil:
		return nil, fairway.Invalid(flag, name, "cannot be read: "+err.Error(), "name a file that can be read")
	case !info.Mode().IsRegular():
		return nil, fairway.Invalid(flag, name, "is not a file", "name a file that can be read")
	case info.Size() > maxFile:
		return nil, fairway.Invalid(flag, name, fmt.Sprintf("has %d bytes", info.Size()), fmt.Sprintf("at most %d are taken", maxFile))
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fairway.Invalid(flag, name, "cannot be read: "+err.Error(), "name a file that can be read")
	}
	return b, nil
}
