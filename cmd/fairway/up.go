package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/cli"
)

// memoryLimit keeps the heap from growing far above what lives in it after a
// burst; GOGC below it trades memory for the gateway's speed.
const memoryLimit = 400 << 20

func upCommand() *cobra.Command {
	var o app.Options
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Start Fairway on this machine, or for a cluster",
		Long: `Start Fairway: console, API, git server, image registry, metrics, and the
gateway to the delivered services, in one process that needs nothing else.

Pushed programs are run as you, without isolation: use it on your own machine,
for programs that you would start by hand. It listens on loopback only.

With --platform kubernetes they run in a cluster with Istio instead: that of
the pod Fairway runs in, of $KUBECONFIG, or of ~/.kube/config. It may listen on
any address then.

Ctrl-C lets requests and decisions end. On this machine it also stops the
delivered programs; in a cluster they stay. The next start with the same data
directory goes on where this one was, deliveries in flight included.`,
		Example: `  fairway up
  fairway up --data ./fairway-data --listen 127.0.0.1:9080 --gateway 127.0.0.1:9000
  fairway up --platform kubernetes --kube-context staging-cluster --domain apps.example.com`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data := c.Flags().Lookup("data"); data != nil {
				o.Data = data.Value.String()
			}
			if o.Drain == 0 { // the zero value of Options means the default
				return fairway.Invalid("drain", "0s", "gives requests no time to end", "use more than 0s and at most "+app.MaxDrain.String())
			}
			err := up(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), o, f)
			if k := fairway.KindOf(err); err != nil && (k == fairway.KindUnavailable || k == fairway.KindInternal) {
				// What other commands say next is about a server that is asked.
				return &cli.ExitError{Code: cli.ExitFailed, Err: err}
			}
			return err
		},
	}
	f.bind(c.Flags(), &o)
	return c
}

// upFlags are those of up that say nothing to the app itself.
type upFlags struct {
	logLevel   string
	readyFile  string
	stopWithin time.Duration
}

func (u *upFlags) bind(f *pflag.FlagSet, o *app.Options) {
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "address of console, API, git and registry")
	f.StringVar(&o.Gateway, "gateway", "127.0.0.1:8000", "address at which the delivered services answer")
	f.StringVar(&o.Platform, "platform", app.PlatformLocal, "where versions run: local (this machine) or kubernetes (with Istio)")
	f.StringVar(&o.Cluster.Kubeconfig, "kubeconfig", "", "the `file` that says how the cluster is reached")
	f.StringVar(&o.Cluster.Context, "kube-context", "", "the `context` of the kubeconfig (default its current one)")
	f.StringVar(&o.Cluster.Domain, "domain", "", "what hosts in a cluster end in (default made of the ingress gateway's address, ADDRESS.nip.io)")
	f.StringVar(&o.Cluster.Ingress, "ingress", "istio-system/istio-ingressgateway", "the Kubernetes Service of Istio's ingress gateway, `NAMESPACE/NAME`")
	f.DurationVar(&o.Cluster.DataPlane, "data-plane", 20*time.Second, "how long the ingress gateway may take to follow a change of weights, before it is taken back")
	f.BoolVar(&o.Cluster.ForceConflicts, "force-conflicts", false, "take over objects and fields in the cluster that others own")
	f.StringVar(&o.Cluster.Installation, "installation", "default", "what tells the objects of this Fairway from those of another in the same cluster")
	f.BoolVar(&o.Cluster.LabelNamespaces, "label-namespaces", false, "label the stages' namespaces for Istio's sidecars")
	f.StringArrayVar(&o.Hosts, "host", nil, "a further `name` under which Fairway is reached, HOST:PORT; may be repeated")
	f.StringVar(&o.Durability, "durability", app.DurabilityPower, "what a stored event survives: power (every write is synced) or process (a power cut may lose the last second)")
	f.DurationVar(&o.Drain, "drain", 30*time.Second, "how long requests under way may go on when their version is stopped")
	f.IntVar(&o.Retention.Deliveries, "keep-deliveries", 100_000, "how many ended deliveries are kept, with events, reports and evaluations")
	f.DurationVar(&o.Retention.For, "keep-for", 90*24*time.Hour, "how long they are kept at most")
	f.IntVar(&o.Retention.Images, "keep-images", 10, "how many images of each service are kept, besides those that run")
	f.DurationVar(&o.Retention.Pushed, "keep-pushed", 30*time.Minute, "how long an image that was just pushed or pulled is kept in any case")
	f.StringVar(&u.logLevel, "log-level", "warn", "of the JSON log on standard error: debug, info, warn or error")
	f.StringVar(&u.readyFile, "ready-file", "", "write addresses and data directory to this `file`, as JSON, once ready: for scripts that let --listen choose a port")
	f.DurationVar(&u.stopWithin, "stop-within", time.Minute, "limit for an orderly stop")
}

func up(ctx context.Context, out, errOut io.Writer, o app.Options, u upFlags) (err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(u.logLevel)); err != nil {
		return fairway.Invalid("log-level", u.logLevel, "is not a level", "use debug, info, warn or error")
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	o.Logger = slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: level}))
	o.Version = version()
	if o.Failpoint, err = failpoint(os.Getenv("FAIRWAY_FAILPOINT")); err != nil {
		return err
	}
	began := time.Now()
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	err = a.Start(ctx)
	if err == nil {
		err = u.writeReady(a)
	}
	if err == nil {
		greet(out, a, o, time.Since(began))
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "stopping: requests and decisions under way are let end; Ctrl-C again stops at once")
		case err = <-a.Failed():
		}
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.stopWithin)
	defer cancel()
	if serr := a.Stop(stop); err == nil {
		err = serr
	}
	return err
}

// writeReady tells scripts where Fairway is. The file appears whole.
func (u upFlags) writeReady(a *app.App) error {
	if u.readyFile == "" {
		return nil
	}
	b, err := json.Marshal(struct {
		Listen  string `json:"listen"`
		Gateway string `json:"gateway"`
		Data    string `json:"data"`
		Login   string `json:"login"` // works once
		PID     int    `json:"pid"`
	}{a.Address(), a.GatewayAddress(), a.Data(), a.LoginURL(), os.Getpid()})
	if err == nil {
		err = os.WriteFile(u.readyFile+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(u.readyFile+".new", u.readyFile)
	}
	if err != nil {
		return fmt.Errorf("write --ready-file: %w", err)
	}
	return nil
}

func greet(out io.Writer, a *app.App, o app.Options, took time.Duration) {
	services, last := "http://SERVICE.NAMESPACE."+a.Domain(), "It runs pushed programs as you, without isolation. Stop it with Ctrl-C."
	if p := port(a.GatewayAddress()); p != ":80" {
		services += p
	}
	if o.Platform == app.PlatformKubernetes {
		last = "What it runs in the cluster stays there when it stops. Stop it with Ctrl-C."
	}
	fmt.Fprintf(out, `Fairway is ready after %s.

  console   %s
            (this link works once, within ten minutes)
  registry  push images to %s/PROJECT/SERVICE:TAG after: fairway login
  services  %s
  data      %s

%s
`, took.Round(time.Millisecond), a.LoginURL(), a.Address(), services, a.Data(), last)
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':'):] }
