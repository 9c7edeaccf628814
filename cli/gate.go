package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dynatrace"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/promql"
	"github.com/fairwaycd/fairway/quality"
	"github.com/fairwaycd/fairway/report"
)

// maxResults bounds a file of results in bytes.
const maxResults = 64 << 20

func (c *cli) gateCommand() *cobra.Command {
	return group("gate", "Judge by objectives, without a server",
		long("Judges metrics by a perfspec or an SLO as a stage's gate does, and checks and tries such objectives.",
			"in a build of any tool, or before objectives are given to a service.",
			"exit codes: 0 pass, 4 warning, 3 fail, 1 could not be judged, 2 bad input."),
		example("fairway gate evaluate --perfspec perfspec.json --prometheus http://127.0.0.1:9090 --start -10m",
			"fairway gate lint slo.yaml --sli sli.yaml",
			"fairway gate replay --slo slo.yaml --sli sli.yaml --prometheus http://127.0.0.1:9090 --from -24h --step 10m"),
		c.gateEvaluate(), c.gateLint(), c.gateReplay())
}

// gateFlags say what is judged, by what, and who is asked.
type gateFlags struct {
	perfspec, slo, sli        string
	prometheus, dynatrace     string
	ca, tenant                string
	headers                   []string
	project, stage, service   string
	namespace, colour, tagged string
	compat                    oneOf
	timeout                   time.Duration
}

func (g *gateFlags) bind(f *pflag.FlagSet) {
	g.compat = oneOf{allowed: []string{"pitometer"}}
	f.StringVar(&g.perfspec, "perfspec", "", "perfspec `file`")
	f.StringVar(&g.slo, "slo", "", "SLO `file`, e.g. slo.yaml")
	f.StringVar(&g.sli, "sli", "", "`file` of the SLO's indicators; default: sli.yaml beside it")
	f.StringVar(&g.prometheus, "prometheus", "", "`URL` of a Prometheus API; credentials from FAIRWAY_PROMETHEUS_TOKEN, or FAIRWAY_PROMETHEUS_USERNAME and FAIRWAY_PROMETHEUS_PASSWORD")
	f.StringVar(&g.dynatrace, "dynatrace", "", "`URL` of a Dynatrace environment; token from FAIRWAY_DYNATRACE_TOKEN")
	f.StringVar(&g.ca, "ca", "", "`file` of certificates to trust instead of the system's")
	f.StringVar(&g.tenant, "tenant", "", "Mimir, Thanos or Cortex `tenant`")
	f.StringArrayVar(&g.headers, "header", nil, "`NAME=VALUE` to send to Prometheus; may be repeated")
	f.StringVar(&g.project, "project", "", "`project`, for $PROJECT and for which series are the service's")
	f.StringVar(&g.stage, "stage", "", "`stage`, for $STAGE and $ENVIRONMENT")
	f.StringVar(&g.service, "service", "", "`service`, for $SERVICE; queries that name it are narrowed to its version as in a stage")
	f.StringVar(&g.namespace, "namespace", "", "`namespace`, for $ENVIRONMENT; default: the stage")
	f.StringVar(&g.colour, "colour", "", "`colour` of the version")
	f.StringVar(&g.tagged, "version", "", "`tag` of the version")
	f.Var(&g.compat, "compat", "judge a perfspec as `pitometer` did")
	f.DurationVar(&g.timeout, "query-timeout", 10*time.Second, "for one attempt of one query")
}

// files reads the objectives under the paths that they have in a service.
func (g *gateFlags) files(c *cli) (map[string][]byte, error) {
	switch {
	case g.perfspec != "" && g.slo != "":
		return nil, fairway.Invalid("--slo", g.slo, "is given beside --perfspec", "give one of the two")
	case g.perfspec == "" && g.slo == "":
		return nil, fairway.Invalid("--perfspec", "", "is missing", "name a perfspec, or an SLO with --slo")
	case g.perfspec != "":
		b, err := c.readFile("--perfspec", g.perfspec)
		return map[string][]byte{quality.PerfspecFile: b}, err
	}
	if g.sli == "" {
		g.sli = filepath.Join(filepath.Dir(g.slo), quality.SLIFile)
	}
	slo, err := c.readFile("--slo", g.slo)
	if err != nil {
		return nil, err
	}
	sli, err := c.readFile("--sli", g.sli)
	return map[string][]byte{quality.SLOFile: slo, quality.SLIFile: sli}, err
}

// named gives problems the names of the files that the user gave.
func (g *gateFlags) named(err error) error {
	ps := slices.Clone(fairway.Problems(err))
	if len(ps) == 0 {
		return err
	}
	for i := range ps {
		switch base := ps[i].File[strings.LastIndexByte(ps[i].File, '/')+1:]; base {
		case "perfspec.json":
			ps[i].File = fileLabel(g.perfspec)
		case quality.SLOFile:
			ps[i].File = fileLabel(g.slo)
		case quality.SLIFile:
			ps[i].File = fileLabel(g.sli)
		}
	}
	return fairway.InvalidAll(ps)
}

func (g *gateFlags) subject() fairway.Subject {
	ns := g.namespace
	if ns == "" {
		ns = g.stage
	}
	return fairway.Subject{
		Project: fairway.ProjectName(g.project), Stage: fairway.StageName(g.stage), Version: g.tagged,
		Place: fairway.Place{Namespace: fairway.Namespace(ns), Service: fairway.ServiceName(g.service), Colour: fairway.Colour(g.colour)},
	}
}

// connection is how url is asked.
func (g *gateFlags) connection(c *cli, kind, url string) (fairway.Connection, error) {
	conn := fairway.Connection{Kind: kind, URL: url, Headers: map[string]fairway.Secret{}}
	if g.ca != "" {
		b, err := c.readFile("--ca", g.ca)
		if err != nil {
			return conn, err
		}
		conn.CA = string(b)
	}
	if kind == fairway.KindDynatrace {
		conn.Token = fairway.Secret(c.Env("FAIRWAY_DYNATRACE_TOKEN"))
		if conn.Token == "" {
			return conn, fairway.Invalid("FAIRWAY_DYNATRACE_TOKEN", "", "is not set", "put an API token with the scope metrics.read into this variable")
		}
		return conn, conn.Validate()
	}
	conn.Token, conn.Tenant = fairway.Secret(c.Env("FAIRWAY_PROMETHEUS_TOKEN")), g.tenant
	conn.Username, conn.Password = c.Env("FAIRWAY_PROMETHEUS_USERNAME"), fairway.Secret(c.Env("FAIRWAY_PROMETHEUS_PASSWORD"))
	for _, h := range g.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return conn, fairway.Invalid("--header", name, "is not NAME=VALUE", "write e.g. --header X-Scope-OrgID=shop")
		}
		conn.Headers[name] = fairway.Secret(value)
	}
	return conn, conn.Validate()
}

// sources are those that flags connect.
func (g *gateFlags) sources(c *cli) (all []fairway.MetricSource, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	if g.prometheus != "" {
		conn, err := g.connection(c, fairway.KindPrometheus, g.prometheus)
		if err != nil {
			return nil, closeAll, err
		}
		h, err := promql.NewHTTP(promql.HTTPOptions{Connection: conn})
		if err != nil {
			return nil, closeAll, err
		}
		closers = append(closers, h.Close)
		if g.service == "" {
			all = append(all, asWritten{h})
		} else {
			all = append(all, promql.NewSource(h, promql.SourceOptions{Foreign: true}))
		}
	}
	if g.dynatrace != "" {
		conn, err := g.connection(c, fairway.KindDynatrace, g.dynatrace)
		if err != nil {
			return nil, closeAll, err
		}
		s, err := dynatrace.New(conn, dynatrace.Options{})
		if err != nil {
			return nil, closeAll, err
		}
		closers = append(closers, s.Close)
		all = append(all, s)
	}
	return all, closeAll, nil
}

// asWritten asks Prometheus what is written, about no service in particular.
type asWritten struct{ http *promql.HTTP }

func (asWritten) Name() string { return "Prometheus" }

func (a asWritten) Query(ctx context.Context, q fairway.Query) (fairway.Answer, error) {
	var text string
	if err := json.Unmarshal(q.Raw, &text); err != nil {
		return fairway.Answer{}, fairway.Invalid("query", string(q.Raw), "is not a text", "write PromQL")
	}
	samples, notes, err := a.http.Instant(ctx, text, q.Window.End)
	return fairway.Answer{Samples: samples, Notes: notes, Resolved: text}, err
}

// connected refuses objectives of which nobody could be asked.
func connected(spec quality.Spec, have []string) error {
	for _, ind := range spec.Indicators() {
		if !slices.Contains(have, ind.Source) && slices.Contains(quality.KnownSources(), ind.Source) {
			flag := "--" + strings.ToLower(ind.Source)
			return fairway.Invalid(flag, "", "is missing, though indicator "+ind.ID+" asks "+ind.Source, "give its URL: "+flag+" URL, or answers with --results FILE")
		}
	}
	return nil
}

// instant reads a point in time: RFC 3339, Unix seconds, now, or how long ago.
func (c *cli) instant(flag, text string) (time.Time, error) {
	if text == "now" {
		return c.Now(), nil
	}
	if d, err := time.ParseDuration(text); err == nil && strings.HasPrefix(text, "-") {
		return c.Now().Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 1e8 && s < 1e11 {
		return time.UnixMilli(int64(s * 1000)).UTC(), nil
	}
	return time.Time{}, fairway.Invalid(flag, text, "is not a point in time", "write 2026-03-01T12:00:00Z, Unix seconds, now, or how long ago: -10m")
}

func (c *cli) gateEvaluate() *cobra.Command {
	var g gateFlags
	var start, end, results string
	var earlier []string
	out := oneOf{value: "table", allowed: []string{"table", "json", "markdown", "html"}}
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Judge a span of time by objectives",
		Long: long("Asks every indicator's query as of --end and judges the answers by a perfspec or an SLO. A file of --results takes the place of sources: {\"INDICATOR\": [{\"key\": \"\", \"timestamp\": 0, \"value\": 0.4}]}.",
			"in a build, after a load test.",
			"exit codes: 0 pass, 4 warning, 3 fail, 1 could not be judged, 2 bad input. -o json has all that was asked and answered."),
		Example: example("fairway gate evaluate --perfspec perfspec.json --prometheus http://127.0.0.1:9090 --start -10m",
			"fairway gate evaluate --slo slo.yaml --sli sli.yaml --results results.json -o markdown",
			"fairway gate evaluate --slo slo.yaml --prometheus http://127.0.0.1:9090 --start -10m --earlier last.json -o json > this.json"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := g.request(c, start, end)
			if err != nil {
				return err
			}
			if r.Earlier, err = c.earlier(earlier); err != nil {
				return err
			}
			judge, done, err := g.gate(c, &r, results)
			if err != nil {
				return err
			}
			defer done()
			e, err := judge.Evaluate(cmd.Context(), r)
			if err != nil {
				return err
			}
			return c.evaluated(out.value, e, r.Earlier)
		},
	}
	g.bind(cmd.Flags())
	cmd.Flags().StringVar(&start, "start", "-5m", "`time` at which the window begins: RFC 3339, Unix seconds, or how long ago")
	cmd.Flags().StringVar(&end, "end", "now", "`time` at which it ends")
	cmd.Flags().StringVar(&results, "results", "", "`file` of answers, instead of sources")
	cmd.Flags().StringArrayVar(&earlier, "earlier", nil, "`file` of an earlier evaluation (-o json) for relative limits; may be repeated, the newest first")
	cmd.Flags().VarP(&out, "output", "o", "`format`: "+strings.Join(out.allowed, ", "))
	return cmd
}

// request is what the flags ask.
func (g *gateFlags) request(c *cli, start, end string) (gate.Request, error) {
	var ps problems
	from, err := c.instant("--start", start)
	ps.add(err)
	to, err := c.instant("--end", end)
	ps.add(err)
	if len(ps) == 0 && !from.Before(to) {
		ps.add(fairway.Invalid("--start", start, "is not before --end "+end, "name a span of time"))
	}
	files, err := g.files(c)
	ps.add(err)
	r := gate.Request{Subject: g.subject(), Window: fairway.Window{Start: from, End: to}, Files: files, Compat: g.compat.value != ""}
	return r, ps.err()
}

// gate returns a gate for the request whose objectives are in order.
func (g *gateFlags) gate(c *cli, r *gate.Request, results string) (*gate.Gate, func(), error) {
	sources, done, err := g.sources(c)
	if err != nil {
		return nil, done, err
	}
	var names []string
	for _, s := range sources {
		names = append(names, s.Name())
	}
	if results != "" {
		if r.Results, err = c.results(results); err != nil {
			return nil, done, err
		}
		names = quality.KnownSources()
	} else {
		r.Connected = names
	}
	for _, name := range quality.KnownSources() { // so that an unconnected source is told from an unknown one
		if !slices.ContainsFunc(sources, func(s fairway.MetricSource) bool { return s.Name() == name }) {
			sources = append(sources, absent(name))
		}
	}
	judge := gate.New(sources, gate.Options{Timeout: g.timeout, Now: c.Now})
	spec, _, err := judge.Read(*r)
	if err != nil {
		return nil, done, g.named(err)
	}
	if err := connected(spec, names); err != nil {
		return nil, done, err
	}
	return judge, done, knownIndicators(spec, r.Results)
}

// absent is a source that is not connected and never asked.
type absent string

func (a absent) Name() string { return string(a) }

func (a absent) Query(context.Context, fairway.Query) (fairway.Answer, error) {
	return fairway.Answer{}, fairway.Errorf(fairway.KindInvalid, "%s is not connected; give its URL", string(a))
}

// knownIndicators refuses results of indicators that there are not.
func knownIndicators(spec quality.Spec, results map[string][]gate.Result) error {
	var ids []string
	for _, ind := range spec.Indicators() {
		ids = append(ids, ind.ID)
	}
	var ps problems
	for _, id := range sortedKeys(results) {
		if !slices.Contains(ids, id) {
			ps.add(fairway.Invalid("--results", id, "is not an indicator of the objectives", "write one of "+strings.Join(ids, ", ")))
		}
	}
	return ps.err()
}

// results reads a file of answers.
func (c *cli) results(name string) (map[string][]gate.Result, error) {
	b, err := c.readFile("--results", name)
	if err != nil {
		return nil, err
	}
	out, err := parseResults(b)
	if err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: fileLabel(name), Message: "is not a file of results: " + err.Error(), Remedy: `write {"INDICATOR": [{"key": "", "timestamp": 0, "value": 0.4}]}`}})
	}
	return out, nil
}

func parseResults(b []byte) (map[string][]gate.Result, error) {
	if len(b) > maxResults {
		return nil, fmt.Errorf("it has more than %d bytes", maxResults)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	out := map[string][]gate.Result{}
	if err := dec.Decode(&out); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the first value")
	}
	if out == nil {
		return nil, fmt.Errorf("it is null")
	}
	return out, nil
}

// earlier reads evaluations that were written with -o json.
func (c *cli) earlier(names []string) ([]fairway.Evaluation, error) {
	var all []fairway.Evaluation
	for _, name := range names {
		b, err := c.readFile("--earlier", name)
		if err != nil {
			return nil, err
		}
		var e fairway.Evaluation
		if err := json.Unmarshal(b, &e); err != nil || e.Verdict == "" {
			return nil, fairway.Invalid("--earlier", name, "is not an evaluation", "name a file that was written with -o json")
		}
		all = append(all, e)
	}
	return all, nil
}

// evaluated prints the evaluation and says by the exit code what it is.
func (c *cli) evaluated(format string, e fairway.Evaluation, earlier []fairway.Evaluation) error {
	oldest := slices.Clone(earlier)
	slices.Reverse(oldest)
	switch format {
	case "json":
		if err := writeJSON(c.Stdout, e); err != nil {
			return err
		}
	case "markdown":
		c.println(report.Markdown(e, oldest))
	case "html":
		b, err := report.HTML(e, oldest)
		if err != nil {
			return err
		}
		if _, err := c.Stdout.Write(b); err != nil {
			return err
		}
	default:
		c.writeVerdict(e)
	}
	if code := byVerdict[e.Verdict]; code != ExitOK {
		return &ExitError{Code: code}
	}
	return nil
}

var byVerdict = map[fairway.Verdict]int{
	fairway.VerdictPass: ExitOK, fairway.VerdictWarning: ExitWarned, fairway.VerdictFail: ExitRejected, fairway.VerdictError: ExitFailed, fairway.VerdictNotJudged: ExitFailed,
}

// writeVerdict prints an evaluation that belongs to no delivery.
func (c *cli) writeVerdict(e fairway.Evaluation) {
	w := c.Stdout
	var f fields
	f.add("Result", c.paint(string(e.Verdict), verdictText(e.Verdict)))
	f.add("Score", fmt.Sprintf("%s; pass from %s, warning from %s", number(e.TotalScore), number(e.Objectives.Pass), number(e.Objectives.Warning)))
	f.add("Reason", e.Reason)
	f.add("Window", fmt.Sprintf("%s to %s (%s)", stamp(e.Window.Start), stamp(e.Window.End), short(e.Window.Duration())))
	f.add("Compared", strings.Join(e.ComparedWith, ", "))
	f.write(w)
	for _, r := range e.IndicatorResults {
		fmt.Fprintf(w, "\nIndicator %s: %s of %s\n", r.ID, number(r.Score), number(r.MaxScore))
		writeIndicator(w, r)
	}
}
