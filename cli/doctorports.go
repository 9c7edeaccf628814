package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway/api"
)

// ports says whether a Fairway on this machine could listen, or does.
func (d *doctor) ports(answers bool) {
	server, err := d.c.serverURL()
	if err != nil || !loopback(server.Hostname()) {
		return // another machine's are its own affair
	}
	port := first(server.Port(), "80")
	for _, p := range []struct{ name, address, flag string }{
		{"port of the API", net.JoinHostPort("127.0.0.1", port), "--listen"},
		{"port of the gateway", d.gateway, "--gateway"},
	} {
		l, err := net.Listen("tcp", p.address)
		switch {
		case err == nil && answers:
			l.Close()
			d.add(p.name, api.CheckWarn, p.address+" is free; the server listens elsewhere", "say where with --server and --gateway")
		case err == nil:
			l.Close()
			d.add(p.name, api.CheckOK, p.address+" is free", "")
		case answers:
			d.add(p.name, api.CheckOK, p.address+" is held by "+holder(p.address), "")
		default:
			d.add(p.name, api.CheckFail, fmt.Sprintf("%s cannot be used: it is held by %s (%v)", p.address, holder(p.address), err), "stop that program, or start with: fairway up "+p.flag+" 127.0.0.1:PORT")
		}
	}
}

// holder names the process that listens at an address, where /proc tells.
func holder(address string) string {
	const unknown = "another program"
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return unknown
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return unknown
	}
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line) // sl local remote state … inode in the tenth column; 0A listens
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(inodes) == 0 {
		return unknown
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && inodes[to] {
			pid := strings.Split(l, "/")[2]
			name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			if err != nil {
				return "process " + pid
			}
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return "a program of another user"
}
