package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// resourceDirs are the directories of a service's repository that Fairway
// understands, as a person reads them.
const resourceDirs = "perfspec, tests, jmeter, prometheus, dynatrace"

func isResourceDir(name string) bool {
	return slices.Contains(strings.Split(resourceDirs, ", "), name)
}

// understood is the remedy for everything that is none of them.
const understood = "understood are the directories perfspec, tests, jmeter, prometheus and dynatrace, and the files slo.yaml, sli.yaml, perfspec.json, functional.yaml, performance.yaml and *.jmx"

// problems gathers what is wrong with the user's input.
type problems []fairway.Problem

// add takes over the problems of err; an error of another kind becomes one.
func (ps *problems) add(err error) {
	if err == nil {
		return
	}
	if have := fairway.Problems(err); len(have) > 0 {
		*ps = append(*ps, have...)
		return
	}
	*ps = append(*ps, fairway.Problem{Message: err.Error()})
}

func (ps problems) err() error { return fairway.InvalidAll(ps) }

// resourceTree reads a directory that holds resource directories and nothing
// else.
func resourceTree(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fairway.Invalid("resources", dir, "cannot be read: "+err.Error(), "name a directory that holds "+resourceDirs)
	}
	var ps problems
	files := map[string][]byte{}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.IsDir() && (e.Name() == "slo.yaml" || e.Name() == "sli.yaml") {
			ps.add(readResource(name, e.Name(), files))
			continue
		}
		if !isResourceDir(e.Name()) {
			ps.add(fairway.Invalid("resources", name, "is not understood", "the directory may hold "+resourceDirs+", slo.yaml, sli.yaml and nothing else"))
			continue
		}
		ps.add(readResourceDir(name, e.Name(), files))
	}
	if len(ps) == 0 && len(files) == 0 {
		ps.add(fairway.Invalid("resources", dir, "holds no files", "put them under "+resourceDirs))
	}
	return files, ps.err()
}

// resources reads the directories and files that a user lists, under the
// paths that they have within a service's directory.
func resources(args []string) (map[string][]byte, error) {
	var ps problems
	files := map[string][]byte{}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			ps.add(fairway.Invalid("resource", arg, "cannot be read: "+err.Error(), "name a file or directory that can be read"))
			continue
		}
		name := resourceName(arg)
		switch {
		case info.IsDir() && isResourceDir(name):
			ps.add(readResourceDir(arg, name, files))
		case info.IsDir() || resourcePath(name) == "":
			ps.add(fairway.Invalid("resource", arg, "is not understood", understood))
		default:
			ps.add(readResource(arg, resourcePath(name), files))
		}
	}
	return files, ps.err()
}

// resourceName returns the last component of what arg names; it sees through
// "." and "..".
func resourceName(arg string) string {
	if abs, err := filepath.Abs(arg); err == nil {
		arg = abs
	}
	return filepath.Base(arg)
}

// resourcePath returns where a file of that name belongs, or "".
func resourcePath(name string) string {
	switch {
	case name == "perfspec.json":
		return "perfspec/" + name
	case name == "functional.yaml", name == "performance.yaml":
		return "tests/" + name
	case path.Ext(name) == ".jmx":
		return "jmeter/" + name
	case name == "slo.yaml", name == "sli.yaml":
		return name
	}
	return ""
}

func readResourceDir(dir, prefix string, into map[string][]byte) error {
	var ps problems
	count := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		count++
		ps.add(readResource(name, path.Join(prefix, filepath.ToSlash(rel)), into))
		return nil
	})
	if err != nil {
		ps.add(fairway.Invalid("resource", dir, "cannot be read: "+err.Error(), "name a directory that can be read"))
	} else if count == 0 {
		ps.add(fairway.Invalid("resource", dir, "holds no files", "put the files there, or leave it out"))
	}
	return ps.err()
}

func readResource(name, key string, into map[string][]byte) error {
	if _, ok := into[key]; ok {
		return fairway.Invalid("resource", name, "would be "+key+", which another one is already", "name each file once")
	}
	b, err := readPath("resource", name)
	if err != nil {
		return err
	}
	into[key] = b
	return nil
}

func (c *cli) addCommand() *cobra.Command {
	return group("add", "Add or replace files of a service",
		long("Adds files to what a service has in the project's repository.",
			"a service's tests or objectives have changed.",
			"the message names file, line and remedy, and nothing was changed."),
		example("fairway add resource carts --project sockshop --all-stages perfspec tests"),
		c.addResourceCommand())
}

func (c *cli) addResourceCommand() *cobra.Command {
	var r api.AddResources
	var stages []string
	var all bool
	cmd := &cobra.Command{
		Use:   "resource SERVICE --project PROJECT (--stage STAGE | --all-stages) DIR|FILE...",
		Short: "Add or replace a service's tests and objectives",
		Long: long("Puts files into the service's directory in the branches of the stages. A directory named perfspec, tests, jmeter, prometheus or dynatrace keeps its name, as do slo.yaml and sli.yaml; a file perfspec.json goes to perfspec, functional.yaml and performance.yaml go to tests, and *.jmx to jmeter. Files that are there already are replaced, others stay.",
			"tests or objectives have changed, in a build before the image is pushed: the delivery uses what its stage's branch holds when it begins there.",
			"every problem is listed with file, line and remedy, and no branch was changed. "+capital(understood)+"."),
		Example: example(
			"fairway add resource carts --project sockshop --all-stages perfspec tests",
			"fairway add resource carts --project sockshop --stage staging build/perfspec.json load.jmx"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				missing := []string{"SERVICE", "DIR|FILE"}[len(args)]
				return usageError(fairway.Invalid(missing, "", "is missing", "write "+cmd.UseLine()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			if all == (len(stages) > 0) {
				return usageError(fairway.Invalid("--stage", strings.Join(stages, ","), "and --all-stages: exactly one of them is needed", "write --stage STAGE for some stages, or --all-stages"))
			}
			r.Service = fairway.ServiceName(args[0])
			for _, s := range stages {
				r.Stages = append(r.Stages, fairway.StageName(s))
			}
			return c.addResources(cmd, r, args[1:])
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringSliceVar(&stages, "stage", nil, "the `stage` whose branch is changed; may be repeated")
	f.BoolVar(&all, "all-stages", false, "change the branch of every stage")
	f.BoolVar(&r.DryRun, "dry-run", false, "check everything and change nothing")
	return cmd
}

func (c *cli) addResources(cmd *cobra.Command, r api.AddResources, args []string) error {
	var err error
	if r.Files, err = resources(args); err != nil {
		return err
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	added, err := b.AddResources(cmd.Context(), r)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d files of %s in %s", len(added.Files), r.Service, joinNames(added.Stages))
	if r.DryRun {
		c.remark("could write %s; nothing was changed", what)
	} else {
		c.remark("wrote %s", what)
	}
	for _, f := range added.Files {
		c.remark("  %s", f)
	}
	return nil
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
