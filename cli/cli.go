package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
)

// Options are what the command line works with. All but the functions of the
// commands that are used may be zero.
type Options struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
	Env            func(string) string // like os.Getenv
	// NewBackend returns what is asked; default: an [api.Client].
	NewBackend func(server, token string) api.Backend
	// Extra are ready-made commands, such as up and demo. Their errors may be
	// an [ExitError].
	Extra []*cobra.Command
	// DefaultDataDir returns the data directory of the server on this machine,
	// whose token is used where none is given.
	DefaultDataDir func() (string, error)
	// PushImage packs and pushes an image and returns its digest.
	PushImage func(context.Context, PushImageRequest) (digest string, err error)
	// The four functions write and remove the credentials of image clients
	// and of git, and return what they changed as a phrase, such as a file's
	// name; an empty one means that there was nothing to change.
	WriteImageLogin, RemoveImageLogin func(context.Context, Login) (changed string, err error)
	WriteGitLogin, RemoveGitLogin     func(context.Context, Login) (changed string, err error)
	Now                               func() time.Time // default: time.Now
	// Room returns the free and all bytes of the disk that a directory lies on.
	Room func(dir string) (free, total int64, err error)

	// terminal returns the width of the terminal that w is, or 0; default:
	// asks the operating system.
	terminal func(w io.Writer) (columns int)
}

// cli is one run of the command line.
type cli struct {
	Options
	global globalFlags
	stdin  bool // has been read
	ran    bool // a command's own code has begun, so the command line was understood
}

// New returns the root command with everything below it.
func New(o Options) *cobra.Command {
	root, _ := build(o)
	return root
}

// Run executes the command line given by args, without the program's name,
// and returns the exit code. The error has been printed then.
func Run(ctx context.Context, args []string, o Options) (exit int) {
	root, c := build(o)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if !c.ran {
		err = &ExitError{Code: ExitInvalid, Err: err, usage: true}
	}
	return c.report(cmd, err)
}

func build(o Options) (*cobra.Command, *cli) {
	c := &cli{Options: withDefaults(o)}
	root := &cobra.Command{
		Use:   "fairway",
		Short: "Ship every new version of a service through its stages, and only what is proved",
		Long: long(
			"Fairway takes every new image of a service through the stages of its project, tests it, judges it by live metrics, and moves traffic to it only when it has passed.",
			"`fairway demo` shows the whole story on this machine. To work with it, start it with `fairway up`, create a project, onboard a service and push an image.",
			"`fairway get status` says what does not work. `fairway help exit-codes` lists the exit codes of all commands."),
		Example: example(
			"fairway up",
			"fairway create project sockshop shipyard.yaml",
			"fairway onboard service carts --project sockshop --values values_carts.yaml",
			"fairway image push --binary bin/carts --port 8080 127.0.0.1:8080/sockshop/carts:0.6.0-1",
			"fairway watch"),
		Version:       c.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          groupRun,
	}
	root.SetIn(c.Stdin)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.SetVersionTemplate("fairway {{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	c.global.bind(root)
	root.AddCommand(
		c.createCommand(), c.updateCommand(), c.configureCommand(), c.onboardCommand(), c.addCommand(), c.sendCommand(), c.subscriptionCommand(), c.backupCommand(), c.restoreCommand(),
		c.getCommand(), c.watchCommand(), c.logsCommand(),
		c.approveCommand(), c.rejectCommand(), c.abortCommand(),
		c.pauseCommand(), c.resumeCommand(), c.retryCommand(),
		c.rollbackCommand(), c.routeCommand(),
		c.deleteCommand(), c.syncCommand(), c.registryCommand(),
		c.loginCommand(), c.logoutCommand(), c.openCommand(), c.imageCommand(),
		c.compareCommand(), c.invalidateCommand(), c.lintCommand(), c.gateCommand(), c.schemaCommand(),
		c.apiCommand(), c.doctorCommand(), c.versionCommand(), exitCodesTopic(),
	)
	root.AddCommand(o.Extra...)
	completion(root)
	c.completions(root)
	c.mark(root)
	return root, c
}

// errLeftOut is the error of commands whose function is missing in [Options].
var errLeftOut = errors.New("this program was built without it")

func withDefaults(o Options) Options {
	if o.Stdin == nil {
		o.Stdin = eof{}
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Env == nil {
		o.Env = func(string) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewBackend == nil {
		o.NewBackend = func(server, token string) api.Backend {
			return api.NewClient(api.ClientOptions{URL: server, Token: token, Version: o.Version})
		}
	}
	if o.PushImage == nil {
		o.PushImage = func(context.Context, PushImageRequest) (string, error) { return "", errLeftOut }
	}
	for _, f := range []*func(context.Context, Login) (string, error){&o.WriteImageLogin, &o.RemoveImageLogin, &o.WriteGitLogin, &o.RemoveGitLogin} {
		if *f == nil {
			*f = func(context.Context, Login) (string, error) { return "", errLeftOut }
		}
	}
	if o.terminal == nil {
		o.terminal = terminalWidth
	}
	return o
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// mark makes every command note that its own code has begun: what fails
// before that is a command line that was not understood.
func (c *cli) mark(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.ran = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		c.mark(sub)
	}
}
