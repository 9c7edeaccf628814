// Command fairway is Fairway: the server, the command line and the demo.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/access"
	"github.com/fairwaycd/fairway/cli"
	"github.com/fairwaycd/fairway/datadir"
	"github.com/fairwaycd/fairway/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends the process at once
	}()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Options{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: version(), Env: os.Getenv,
		Extra:            []*cobra.Command{upCommand(), demoCommand()},
		DefaultDataDir:   datadir.Default,
		Room:             datadir.Room,
		PushImage:        pushImage,
		WriteImageLogin:  writeImageLogin,
		RemoveImageLogin: removeImageLogin,
		WriteGitLogin: func(ctx context.Context, l cli.Login) (string, error) {
			changed, err := access.WriteGitCredentials(ctx, l.Host, l.Token)
			return strings.Join(changed, "; "), err
		},
		RemoveGitLogin: func(ctx context.Context, l cli.Login) (string, error) {
			changed, err := access.RemoveGitCredentials(ctx, l.Host)
			return strings.Join(changed, "; "), err
		},
	}))
}

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "0.0.0-dev+" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "0.0.0-dev"
}

func pushImage(ctx context.Context, r cli.PushImageRequest) (string, error) {
	q := image.PackRequest{Binary: r.Binary, Port: r.Port, Env: r.Env, Entrypoint: r.Entrypoint, Created: r.Created}
	for _, f := range r.Files {
		q.Files = append(q.Files, image.File{Source: f.Source, Path: f.Path})
	}
	img, err := image.Pack(q)
	if err != nil {
		return "", err
	}
	return image.Push(ctx, img, r.Ref, image.Credentials{User: r.User, Token: r.Token})
}

// dockerConfig is where image clients keep their credentials.
func dockerConfig() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".docker", "config.json"), err
}

func writeImageLogin(_ context.Context, l cli.Login) (string, error) {
	file, err := dockerConfig()
	if err != nil {
		return "", err
	}
	return file, image.WriteLogin(file, l.Host, l.User, l.Token)
}

func removeImageLogin(_ context.Context, l cli.Login) (string, error) {
	file, err := dockerConfig()
	if err != nil {
		return "", err
	}
	return file, image.RemoveLogin(file, l.Host)
}
