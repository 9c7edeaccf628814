package testrun

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Scripts that a service without test files of our own is tested with, as
// Keptn 0.2 did: the health check first, then the load, once for functional
// tests and by ten users 500 times each for performance tests.
const (
	jmeterHealth = "jmeter/basiccheck.jmx"
	jmeterLoad   = "jmeter/%s_load.jmx"
	jmeterLog    = "jmeter.log"
	jmeterTable  = "results.jtl"
)

// jmeter runs a script and judges by its result file.
func (n *run) jmeter(ctx context.Context, check string, p Performance) (fairway.Check, error) {
	dir, remove, err := n.runner.workDir(n.request.Files)
	if err != nil {
		return fairway.Check{}, err
	}
	defer remove()
	hosts, err := n.hosts(dir)
	if err != nil {
		return fairway.Check{}, err
	}
	prog := program{dir: dir, timeout: p.Timeout, argv: n.jmeterArgs(check, p), env: append(append(n.runner.env, n.request.facts(check, dir)...), hosts...)}
	table, start := filepath.Join(dir, jmeterTable), time.Now()
	lines := &lineCount{path: table}
	stop := n.reporter.every(func() {
		n.reporter.report(Progress{Check: check, Users: p.Users, Requests: max(lines.count()-1, 0), Elapsed: time.Since(start)})
	})
	out, err := prog.run(ctx)
	stop()
	if err != nil {
		return fairway.Check{}, err
	}
	t := newTally()
	readErr := readTable(table, t)
	f := t.figures()
	c := f.check(check)
	c.Users, c.Log = p.Users, out.log+jmeterLogOf(dir)
	if f.requests == 0 {
		c.Window = out.window
	}
	var faults []string
	if text := out.failure("jmeter", p.Timeout); text != "" {
		faults = append(faults, text)
	}
	switch {
	case strings.Contains(c.Log, "ForbiddenClassException"):
		faults = append(faults, "this installation of JMeter can read no script, since its XStream is newer than it knows (Debian's jmeter 2.13 is like that); install Apache JMeter 5 and put its bin directory first in the PATH")
	case readErr != nil:
		faults = append(faults, readErr.Error())
	default:
		faults = append(faults, p.Limits.exceeded(f)...)
	}
	c.Passed = len(faults) == 0
	c.Reason = strings.Join(append(faults, fmt.Sprintf("jmeter %s: %s", p.JMeter, f.describe(p.Users))), "; ")
	return c, nil
}

// jmeterArgs are the properties of Keptn 0.2's scripts, and those that make
// the result file readable.
func (n *run) jmeterArgs(check string, p Performance) []string {
	host, port, _ := net.SplitHostPort(n.request.Address)
	if localHost(n.request.Host) {
		host = n.request.Host
	}
	args := []string{"jmeter", "-n", "-t", p.JMeter, "-l", jmeterTable, "-j", jmeterLog}
	for _, kv := range [][2]string{
		{"SERVER_URL", host}, {"SERVER_PORT", port}, {"CHECK_PATH", n.request.HealthPath},
		{"VUCount", strconv.Itoa(p.Users)}, {"LoopCount", strconv.Itoa(p.Iterations)},
		{"ThinkTime", strconv.FormatInt(p.Think.Milliseconds(), 10)}, {"DT_LTN", fmt.Sprintf("%s_%s", check, n.request.Subject.Place.Service)},
		{"FAIRWAY_HOST", n.request.Host}, {"FAIRWAY_RUN", n.request.RunID},
		{"sampleresult.timestamp.start", "true"},
		{"jmeter.save.saveservice.output_format", "csv"}, {"jmeter.save.saveservice.print_field_names", "true"},
		{"jmeter.save.saveservice.timestamp_format", "ms"}, {"jmeter.save.saveservice.autoflush", "true"},
		{"jmeter.save.saveservice.response_message", "true"}, {"jmeter.save.saveservice.assertion_results_failure_message", "true"},
	} {
		args = append(args, "-J"+kv[0]+"="+kv[1])
	}
	return args
}

// localHost reports whether a host is one of the local gateway's, which not
// every resolver knows.
func localHost(host string) bool { return strings.HasSuffix(host, ".localhost") }

// hosts tells Java where the colour's host is, when no name server can know.
func (n *run) hosts(dir string) ([]string, error) {
	if !localHost(n.request.Host) {
		return nil, nil
	}
	ip, _, _ := net.SplitHostPort(n.request.Address)
	file := filepath.Join(dir, "hosts")
	system, _ := os.ReadFile("/etc/hosts") // without it the names there are not known, no more
	text := fmt.Sprintf("%s %s\n127.0.0.1 localhost\n%s", ip, n.request.Host, system)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the hosts of the test: %w", err)
	}
	return []string{"JAVA_TOOL_OPTIONS=-Djdk.net.hosts.file=" + file}, nil
}

func jmeterLogOf(dir string) string {
	t := &tail{}
	f, err := os.Open(filepath.Join(dir, jmeterLog))
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := io.Copy(t, f); err != nil {
		return ""
	}
	return "\n-- " + jmeterLog + "\n" + t.String()
}

// readTable adds every sample of a result file to t.
func readTable(file string, t *tally) error {
	f, err := os.Open(file)
	if err != nil {
		return errors.New("jmeter left no result file")
	}
	defer f.Close()
	return readSamples(io.LimitReader(f, maxResultFile), t)
}

// The columns that are read; JMeter's manual, "CSV log format", lists them.
const (
	columnTime    = "timeStamp"
	columnElapsed = "elapsed"
	columnLabel   = "label"
	columnCode    = "responseCode"
	columnMessage = "responseMessage"
	columnSuccess = "success"
	columnFailure = "failureMessage"
)

func readSamples(r io.Reader, t *tally) error {
	rows := csv.NewReader(r)
	rows.LazyQuotes, rows.ReuseRecord, rows.FieldsPerRecord = true, true, -1
	head, err := rows.Read()
	if err != nil {
		return errors.New("jmeter's result file is empty: the script sent no request")
	}
	at := map[string]int{}
	for i, name := range head {
		at[strings.Clone(name)] = i
	}
	for _, name := range []string{columnTime, columnElapsed, columnLabel, columnCode, columnSuccess} {
		if _, ok := at[name]; !ok {
			return fmt.Errorf("jmeter's result file has no column %s", name)
		}
	}
	for line := 2; ; line++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("jmeter's result file cannot be read: %w", err)
		}
		o, err := sample(row, at)
		if err != nil {
			return fmt.Errorf("jmeter's result file, line %d: %w", line, err)
		}
		t.add(o)
	}
}

// sample reads one row: its start in Unix milliseconds and how many of them
// it took.
func sample(row []string, at map[string]int) (outcome, error) {
	get := func(name string) string {
		if i, ok := at[name]; ok && i < len(row) {
			return row[i]
		}
		return ""
	}
	start, err := strconv.ParseInt(get(columnTime), 10, 64)
	if err != nil {
		return outcome{}, fmt.Errorf("%s %q is no time in milliseconds", columnTime, get(columnTime))
	}
	took, err := strconv.ParseInt(get(columnElapsed), 10, 64)
	if err != nil || took < 0 || took > maxDuration.Milliseconds() {
		return outcome{}, fmt.Errorf("%s %q is no number of milliseconds", columnElapsed, get(columnElapsed))
	}
	o := outcome{start: time.UnixMilli(start)}
	o.end = o.start.Add(time.Duration(took) * time.Millisecond)
	code := get(columnCode)
	switch success := get(columnSuccess); {
	case success == "true":
		return o, nil
	case success != "false":
		return outcome{}, fmt.Errorf("%s is %q", columnSuccess, success)
	case strings.Contains(code, "Timeout"):
		o.kind = failTimeout
	case strings.HasPrefix(code, "Non HTTP"):
		o.kind = failConnection
	case strings.HasPrefix(code, "2"):
		o.kind = failAnswer
	default:
		o.kind = failStatus
	}
	o.reason = strings.TrimSpace(fmt.Sprintf("%s answered %s %s %s", get(columnLabel), code, get(columnMessage), get(columnFailure)))
	if len(o.reason) > excerptSize {
		o.reason = strings.ToValidUTF8(o.reason[:excerptSize], "") + "…"
	}
	return o, nil
}

// lineCount counts the lines of a growing file.
type lineCount struct {
	path   string
	offset int64
	lines  int
}

func (l *lineCount) count() int {
	f, err := os.Open(l.path)
	if err != nil {
		return l.lines
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, l.offset)
		l.offset += int64(n)
		l.lines += strings.Count(string(buf[:n]), "\n")
		if err != nil {
			return l.lines
		}
	}
}
