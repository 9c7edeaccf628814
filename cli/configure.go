package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) configureCommand() *cobra.Command {
	monitoring := group("monitoring", "Connect the monitoring system that gates ask",
		long("Connects a project, or all projects, to the monitoring system that their quality gates ask. Credentials are kept in the data directory of the server, readable by its owner alone; nothing shows them again.",
			"your metrics are in a Prometheus of your own, or in Dynatrace. Without a connection gates ask the Prometheus inside Fairway.",
			"the message names the flag, and nothing was changed."),
		example(
			"fairway configure monitoring prometheus --project sockshop --url https://prometheus.example.com --check",
			"fairway configure monitoring dynatrace --project sockshop --tenant abc12345 --token-stdin --check < token.txt"),
		c.configurePrometheus(), c.configureDynatrace())
	return group("configure", "Configure what projects work with",
		long("Configures the systems around Fairway that projects work with.",
			"once, and again when an address or a credential has changed.",
			"the message says why, and nothing was changed."),
		example("fairway configure monitoring prometheus --project sockshop --url https://prometheus.example.com --check"),
		monitoring, c.configureUpstreamCommand())
}

// connecting are the flags of a connection, and what is to be done with it.
type connecting struct {
	connection                fairway.Connection
	passwordStdin, tokenStdin bool
	ca, cert, key             string // files
	headers                   []string
	remove, check             bool
}

func (n *connecting) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar((*string)(&n.connection.Project), "project", "", "the `project` whose gates ask it (default all that have none of their own)")
	f.StringVar(&n.connection.URL, "url", "", "the base `URL` of its API")
	f.BoolVar(&n.tokenStdin, "token-stdin", false, "read an API token from the standard input")
	f.StringVar(&n.ca, "ca", "", "the `file` with the certificate of the authority that signed the server's")
	f.StringArrayVar(&n.headers, "header", nil, "a `NAME=VALUE` that is sent with every request; may be repeated; NAME=@FILE reads the value from a file")
	f.BoolVar(&n.remove, "remove", false, "forget the connection")
	f.BoolVar(&n.check, "check", false, "ask it once and say what works; without --url, the connection that there is")
}

func (c *cli) configurePrometheus() *cobra.Command {
	n := connecting{connection: fairway.Connection{Kind: fairway.KindPrometheus}}
	var in installing
	cmd := &cobra.Command{
		Use:   "prometheus [--project PROJECT] (--url URL [--username NAME --password-stdin | --token-stdin] | --install)",
		Short: "Have gates ask a Prometheus of your own",
		Long: long("Has the gates of a project ask a server with Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics. It replaces the connection before. It holds for evaluations that begin from now on. How the pods of one colour are told apart there is said in the service's values, metrics.select, or it scrapes pods by the configuration that --print-config prints and is --labelled. In a cluster, --install makes a Prometheus that does.",
			"the metrics of your services are not in the Prometheus inside Fairway, as on a cluster that has one.",
			"the message names the flag, and nothing was changed; with --check the connection is stored and the check says what does not work."),
		Example: example(
			"fairway configure monitoring prometheus --install",
			"fairway configure monitoring prometheus --print-config",
			"fairway configure monitoring prometheus --project sockshop --url http://prometheus-service.monitoring.svc:8080 --labelled --check",
			"fairway configure monitoring prometheus --url https://mimir.example.com/prometheus --tenant shop --username gate --password-stdin < password.txt",
			"fairway configure monitoring prometheus --project sockshop --remove"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.wanted(cmd) {
				return c.installPrometheus(cmd, &n, in)
			}
			return c.configure(cmd, &n)
		},
	}
	n.bind(cmd)
	in.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&n.connection.Username, "username", "", "the `name` for basic authentication")
	f.BoolVar(&n.passwordStdin, "password-stdin", false, "read the password from the standard input")
	f.StringVar(&n.connection.Tenant, "tenant", "", "the `tenant` of Mimir, Thanos or Cortex, sent as X-Scope-OrgID")
	f.BoolVar(&n.connection.Labelled, "labelled", false, "its series carry the labels version and fairway_run, since it scrapes pods by Fairway's configuration (--print-config)")
	f.StringVar(&n.cert, "client-cert", "", "the `file` with the certificate that Fairway shows")
	f.StringVar(&n.key, "client-key", "", "the `file` with its key")
	return cmd
}

func (c *cli) configureDynatrace() *cobra.Command {
	n := connecting{connection: fairway.Connection{Kind: fairway.KindDynatrace}}
	var tenant string
	cmd := &cobra.Command{
		Use:   "dynatrace [--project PROJECT] (--url URL | --tenant TENANT) --token-stdin",
		Short: "Have gates ask Dynatrace",
		Long: long("Has the gates of a project ask a Dynatrace environment, with an API token of the scopes DataExport (queries with timeseriesId) and metrics.read (queries with metricSelector). It replaces the connection before. It holds for evaluations that begin from now on. Services are found by the tags service and environment, and their colours by --colour-tag.",
			"objectives have the source Dynatrace.",
			"the message names the flag, and nothing was changed; with --check the connection is stored and the check says what does not work."),
		Example: example(
			"fairway configure monitoring dynatrace --project sockshop --tenant abc12345 --token-stdin --check < token.txt",
			"fairway configure monitoring dynatrace --url https://managed.example.com/e/abc12345 --token-stdin < token.txt",
			"fairway configure monitoring dynatrace --project sockshop --check",
			"fairway configure monitoring dynatrace --project sockshop --remove"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tenant != "" && n.connection.URL != "" {
				return usageError(fairway.Invalid("--tenant", tenant, "and --url both name the environment", "give one of them"))
			}
			if tenant != "" {
				n.connection.URL = "https://" + tenant
				if !strings.ContainsAny(tenant, "./") {
					n.connection.URL += ".live.dynatrace.com"
				}
			}
			return c.configure(cmd, &n)
		},
	}
	n.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "the `environment` id, as in https://ENVIRONMENT.live.dynatrace.com, or the whole host")
	f.StringVar(&n.connection.ColourTag, "colour-tag", "", "the `tag` that tells colours apart (default deployment:{{service}}-{{colour}})")
	return cmd
}

func (c *cli) configure(cmd *cobra.Command, n *connecting) error {
	x := &n.connection
	stores := x.URL != ""
	switch {
	case n.remove && (stores || n.check):
		return usageError(fairway.Invalid("--remove", "", "goes with --project alone", "leave the other flags out"))
	case !n.remove && !stores && !n.check:
		return required(cmd, "url")
	}
	if stores {
		if err := c.readConnection(n); err != nil {
			return err
		}
		if err := x.Validate(); err != nil {
			return usageError(err)
		}
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	name := api.MonitoringName{Kind: x.Kind, Project: x.Project}
	if n.remove {
		m, err := b.RemoveMonitoring(cmd.Context(), name)
		if err != nil {
			return err
		}
		c.remark("%s no longer ask %s", gatesOf(m.Project), m.URL)
		return nil
	}
	if stores {
		m, err := b.ConfigureMonitoring(cmd.Context(), *x)
		if err != nil {
			return err
		}
		c.remark("%s ask %s at %s from now on", gatesOf(m.Project), m.Kind, m.URL)
		for _, step := range m.Next {
			c.remark("next: %s", step)
		}
	}
	if !n.check {
		return nil
	}
	found, err := b.CheckMonitoring(cmd.Context(), name)
	if err != nil {
		return err
	}
	return c.checked(found)
}

// checked prints findings; that something does not work is an error.
func (c *cli) checked(found []fairway.Checked) error {
	bad := 0
	for _, f := range found {
		word := "works"
		if !f.OK {
			word = "fails"
			bad++
		}
		fmt.Fprintf(c.Stdout, "%s: %s: %s\n", c.paint(map[bool]string{true: "pass", false: "fail"}[f.OK], word), f.What, f.Text)
	}
	if bad == len(found) {
		return fairway.Errorf(fairway.KindUnavailable, "nothing of it works")
	}
	return nil
}

func gatesOf(p fairway.ProjectName) string {
	if p == "" {
		return "gates of all projects without a connection of their own"
	}
	return "gates of project " + string(p)
}

// readConnection reads the files and the secret that the flags name.
func (c *cli) readConnection(n *connecting) error {
	var ps problems
	file := func(flag, name string) string {
		if name == "" {
			return ""
		}
		text, err := c.readFile("--"+flag, name)
		ps.add(err)
		return string(text)
	}
	n.connection.CA, n.connection.Cert, n.connection.Key = file("ca", n.ca), file("client-cert", n.cert), fairway.Secret(file("client-key", n.key))
	if n.passwordStdin && n.tokenStdin {
		ps.add(fairway.Invalid("--token-stdin", "", "and --password-stdin both read the standard input", "give one of them"))
	} else if n.tokenStdin || n.passwordStdin {
		text, err := c.readFile("standard input", "-")
		ps.add(err)
		secret := fairway.Secret(strings.TrimRight(string(text), "\r\n"))
		if err == nil && secret == "" {
			ps.add(fairway.Invalid("standard input", "", "is empty", "send the secret there: … < FILE"))
		}
		if n.tokenStdin {
			n.connection.Token = secret
		} else {
			n.connection.Password = secret
		}
	}
	for _, h := range n.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			ps.add(fairway.Invalid("--header", name, "has no value", "write NAME=VALUE"))
			continue
		}
		if path, ok := strings.CutPrefix(value, "@"); ok {
			value = strings.TrimRight(file("header", path), "\r\n")
		}
		if n.connection.Headers == nil {
			n.connection.Headers = map[string]fairway.Secret{}
		}
		n.connection.Headers[name] = fairway.Secret(value)
	}
	return ps.err()
}

func (c *cli) getMonitoring() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "monitoring",
		Short: "List the monitoring systems that gates ask",
		Long: long("Lists the monitoring systems that have been connected, or, with --project, those that the project's gates ask. Secrets are not shown. Gates without a connection ask the Prometheus inside Fairway.",
			"a gate measures something else than you expect.",
			"`fairway get status` says whether the server answers."),
		Example: example("fairway get monitoring", "fairway get monitoring --project sockshop -o json"),
	}
	cmd.Flags().StringVar(&project, "project", "", "the `project` whose gates ask them")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.Monitoring, error) {
		return listOf(b.Monitoring(cmd.Context(), fairway.ProjectName(project)))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []api.Monitoring) {
		t := c.table("SYSTEM", "PROJECT", "URL", "AUTH", "USER", "TENANT")
		for _, m := range list {
			of := string(m.Project)
			if of == "" {
				of = "(all)"
			}
			t.add(m.Kind, of, m.URL, m.Auth, m.Username, m.Tenant)
		}
		t.write(w, "nothing is connected; gates ask the Prometheus inside Fairway")
	})
}
