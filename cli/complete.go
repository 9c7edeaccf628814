package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// completing is how long a shell waits for what the server knows.
const completing = 1500 * time.Millisecond

// completed is how many words are offered at most.
const completed = 200

// words of a command line that the server knows; each answers with what may
// stand there, a tab and a remark behind it.
type offer func(ctx context.Context, b api.Backend, cmd *cobra.Command, begun string) ([]string, error)

// offered are the offers for flags, by their names.
var offered = map[string]offer{
	"project": offerProjects, "service": offerServices, "stage": offerStages, "delivery": offerDeliveries(api.DeliveryFilter{}),
	"type": offerTypes, "colour": offerColours, "slot": offerColours,
}

// places are the offers for arguments, by command and in their order.
var places = map[string][]offer{
	"watch": {offerDeliveries(api.DeliveryFilter{})}, "logs": {offerDeliveries(api.DeliveryFilter{})}, "get delivery": {offerDeliveries(api.DeliveryFilter{})},
	"approve": {offerDeliveries(api.DeliveryFilter{Status: fairway.StatusWaiting})}, "reject": {offerDeliveries(api.DeliveryFilter{Status: fairway.StatusWaiting})},
	"abort": {offerDeliveries(api.DeliveryFilter{Open: true})}, "pause": {offerDeliveries(api.DeliveryFilter{Open: true})}, "resume": {offerDeliveries(api.DeliveryFilter{Open: true})},
	"retry": {offerDeliveries(api.DeliveryFilter{})}, "rollback": {offerServices}, "route set": {offerServices, offerWeights},
	"get evaluation": {offerEvaluations}, "invalidate evaluation": {offerEvaluations}, "compare evaluations": {offerEvaluations, offerEvaluations},
	"delete project": {offerProjects}, "update project": {offerProjects}, "delete service": {offerServices}, "update service": {offerServices},
	"add resource": {offerServices},
}

// completions lets a shell ask the server for names and ids. Whatever keeps
// it from an answer, the shell is told of no error.
func (c *cli) completions(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if o := offered[f.Name]; o != nil && f.Value.Type() != "bool" {
			// An error says that the flag has one, or does not exist.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, c.ask(func(int) offer { return o }))
		}
		if v, ok := f.Value.(*oneOf); ok {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(v.allowed, cobra.ShellCompDirectiveNoFileComp))
		}
	})
	if at := places[strings.TrimPrefix(cmd.CommandPath(), "fairway ")]; at != nil && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = c.ask(func(n int) offer {
			if n < len(at) {
				return at[n]
			}
			return nil
		})
	}
	for _, sub := range cmd.Commands() {
		c.completions(sub)
	}
}

// ask makes a shell's question one to the server. Where nothing is offered,
// the shell offers files.
func (c *cli) ask(at func(n int) offer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		o := at(len(args))
		if o == nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		b, err := c.backend()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completing)
		defer cancel()
		all, err := o(ctx, b, cmd, begun)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, begun) })
		return all[:min(len(all), completed)], cobra.ShellCompDirectiveNoFileComp
	}
}

// flagOf returns what a flag of the line says so far.
func flagOf(cmd *cobra.Command, name string) string {
	if f := cmd.Flag(name); f != nil && f.Value.Type() == "string" {
		return f.Value.String()
	}
	return ""
}

func offerProjects(ctx context.Context, b api.Backend, _ *cobra.Command, _ string) (names []string, err error) {
	all, err := b.Projects(ctx)
	for _, p := range all {
		names = append(names, string(p.Name))
	}
	return names, err
}

func offerServices(ctx context.Context, b api.Backend, cmd *cobra.Command, begun string) (names []string, err error) {
	page, err := b.ServicePage(ctx, api.ServiceFilter{Project: fairway.ProjectName(flagOf(cmd, "project")), Text: begun, Limit: completed})
	for _, s := range page.Items {
		names = append(names, string(s.Service)+"\tof "+string(s.Project))
	}
	return names, err
}

func offerStages(ctx context.Context, b api.Backend, cmd *cobra.Command, _ string) (names []string, err error) {
	var all []api.Project
	if p := flagOf(cmd, "project"); p != "" {
		var one api.Project
		one, err = b.Project(ctx, fairway.ProjectName(p))
		all = append(all, one)
	} else {
		all, err = b.Projects(ctx)
	}
	for _, p := range all {
		for _, st := range p.Shipyard.Stages {
			if !slices.Contains(names, string(st.Name)) {
				names = append(names, string(st.Name))
			}
		}
	}
	return names, err
}

func offerDeliveries(f api.DeliveryFilter) offer {
	return func(ctx context.Context, b api.Backend, cmd *cobra.Command, _ string) (ids []string, err error) {
		f := f
		f.Project, f.Service, f.Limit = fairway.ProjectName(flagOf(cmd, "project")), fairway.ServiceName(flagOf(cmd, "service")), completed
		all, err := b.Deliveries(ctx, f)
		for _, d := range all {
			ids = append(ids, d.ID.Short()+"\t"+string(d.Service)+" "+d.Artifact.Tag+" "+string(d.Status)+" in "+string(d.Stage))
		}
		return ids, err
	}
}

func offerEvaluations(ctx context.Context, b api.Backend, cmd *cobra.Command, _ string) (ids []string, err error) {
	page, err := b.Evaluations(ctx, fairway.EvaluationFilter{Limit: completed,
		Project: fairway.ProjectName(flagOf(cmd, "project")), Service: fairway.ServiceName(flagOf(cmd, "service")), Stage: fairway.StageName(flagOf(cmd, "stage"))})
	for _, e := range page.Items {
		ids = append(ids, e.ID+"\t"+string(e.Verdict)+" of "+string(e.Service)+" "+e.Version)
	}
	return ids, err
}

func offerTypes(ctx context.Context, b api.Backend, _ *cobra.Command, _ string) (types []string, err error) {
	all, err := b.Events(ctx, api.EventFilter{})
	for _, e := range all {
		if !slices.Contains(types, e.Type) {
			types = append(types, e.Type)
		}
	}
	slices.Sort(types)
	return types, err
}

func offerColours(context.Context, api.Backend, *cobra.Command, string) ([]string, error) {
	return []string{string(fairway.Blue), string(fairway.Green)}, nil
}

func offerWeights(context.Context, api.Backend, *cobra.Command, string) ([]string, error) {
	return []string{"blue=100,green=0", "blue=0,green=100", "blue=50,green=50"}, nil
}
