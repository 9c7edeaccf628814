package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/scrapeconf"
)

// installing are the flags that say which Prometheus is made, or how one is
// configured.
type installing struct {
	install, print, dryRun bool
	namespace, image       string
	interval               time.Duration
}

func (in *installing) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&in.install, "install", false, "make a Prometheus in the cluster that scrapes what Fairway runs, and connect it; again to change it")
	f.BoolVar(&in.dryRun, "dry-run", false, "with --install: print the objects, and apply nothing")
	f.BoolVar(&in.print, "print-config", false, "print the scrape job for a Prometheus of your own; no server is asked")
	f.StringVar(&in.namespace, "namespace", "monitoring", "the `namespace` for --install")
	f.StringVar(&in.image, "image", scrapeconf.Image, "the `image` for --install")
	f.DurationVar(&in.interval, "scrape-interval", 5*time.Second, "between two scrapes, 1s to 1m: for --install and --print-config")
}

func (in *installing) wanted(*cobra.Command) bool { return in.install || in.print }

func (c *cli) installPrometheus(cmd *cobra.Command, n *connecting, in installing) error {
	o := scrapeconf.Options{Namespace: fairway.Namespace(in.namespace), Image: in.image, Interval: in.interval}
	if _, err := o.WithDefaults(); err != nil {
		return usageError(err)
	}
	switch {
	case in.install && in.print:
		return usageError(fairway.Invalid("--print-config", "", "is for a Prometheus that there is, and --install makes one", "give one of them"))
	case n.connection.URL != "" || n.remove:
		return usageError(fairway.Invalid("--install", "", "and --print-config go without --url and --remove", "leave these out; --install connects what it makes"))
	case in.print:
		_, err := fmt.Fprint(c.Stdout, scrapeconf.Config(in.interval))
		return err
	case in.interval%time.Second != 0:
		return usageError(fairway.Invalid("--scrape-interval", in.interval.String(), "is not in whole seconds", "use 5s"))
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	made, err := b.InstallMonitoring(cmd.Context(), api.InstallMonitoring{
		Kind: n.connection.Kind, Project: n.connection.Project, Namespace: o.Namespace, Image: o.Image,
		IntervalSeconds: int(in.interval / time.Second), DryRun: in.dryRun,
	})
	if err != nil {
		return err
	}
	if in.dryRun {
		for _, doc := range made.Objects {
			fmt.Fprintf(c.Stdout, "---\n%s\n", doc)
		}
		return nil
	}
	for _, o := range objectNames(made.Objects) {
		fmt.Fprintf(c.Stdout, "%s applied\n", o)
	}
	if made.Pending != "" {
		c.remark("%s", made.Pending)
	}
	c.remark("%s ask %s from now on", gatesOf(made.Monitoring.Project), made.Monitoring.URL)
	c.remark("look at its targets: kubectl port-forward svc/%s %d -n %s, then http://localhost:%d/targets", scrapeconf.Service, scrapeconf.Port, in.namespace, scrapeconf.Port)
	if !n.check {
		return nil
	}
	found, err := b.CheckMonitoring(cmd.Context(), api.MonitoringName{Kind: n.connection.Kind, Project: n.connection.Project})
	if err != nil {
		return err
	}
	return c.checked(found)
}

// objectNames are KIND/NAME of the documents.
func objectNames(docs []string) []string {
	out := make([]string, 0, len(docs))
	for _, d := range docs {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(d), &o); err == nil {
			out = append(out, strings.ToLower(o.Kind)+"/"+o.Metadata.Name)
		}
	}
	return out
}
