package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
)

// PushImageRequest says what goes into an image and where it goes.
type PushImageRequest struct {
	Ref        string // HOST/PATH/NAME:TAG
	Binary     string
	Port       int // 0 exposes none
	Files      []ImageFile
	Env        map[string]string
	Entrypoint []string
	Created    time.Time // from SOURCE_DATE_EPOCH; zero where that is not set
	// User and Token are set when the image goes to the registry of the
	// server that this run talks to; else the image clients' own
	// configuration decides.
	User, Token string
}

// ImageFile is one more file of an image.
type ImageFile struct{ Source, Path string }

// registryUser is the user under whose name the API token is a password.
const registryUser = "fairway"

// imageFlags are what the user wrote.
type imageFlags struct {
	files, env []string
}

func (c *cli) imageCommand() *cobra.Command {
	return group("image", "Make and push images",
		long("Works with images where there is no Docker.",
			"a build has made a program, and its image is all that is missing.",
			"the message says what to change; nothing was pushed."),
		example("fairway image push --binary bin/carts --port 8080 127.0.0.1:8080/sockshop/carts:0.6.0-1"),
		c.imagePushCommand())
}

func (c *cli) imagePushCommand() *cobra.Command {
	var r PushImageRequest
	var flags imageFlags
	cmd := &cobra.Command{
		Use:   "push --binary FILE IMAGE:TAG",
		Short: "Pack a program into an image and push it, without Docker",
		Long: long("Makes an image of one program, and of further files where it needs them, pushes it, and prints its reference with the digest. The same files give the same digest. A push to Fairway's registry starts the delivery: it is stored when the command ends.",
			"at the end of a build, after `fairway add resource`. Images made with other tools are pushed with those; `fairway login` gives them their credentials.",
			"check that the program is static (CGO_ENABLED=0 for Go), that the tag is new, and that `fairway get status` answers. For a registry elsewhere, log in with its own tools first."),
		Example: example(
			"fairway image push --binary bin/carts --port 8080 127.0.0.1:8080/sockshop/carts:0.6.0-1",
			"fairway image push --binary bin/shop --file config.yaml:/etc/shop.yaml --env MODE=fast 127.0.0.1:8080/sockshop/shop:1.0"),
		Args: words("IMAGE:TAG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "binary"); err != nil {
				return err
			}
			r.Ref = args[0]
			if err := c.completeImage(&r, flags); err != nil {
				return err
			}
			return c.pushImage(cmd, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Binary, "binary", "", "the `file` with the program; it becomes /app/NAME")
	f.IntVar(&r.Port, "port", 0, "the TCP `port` that it listens on")
	f.StringArrayVar(&flags.files, "file", nil, "one more file, `SRC:DST`; may be repeated")
	f.StringArrayVar(&flags.env, "env", nil, "a variable of the environment, `K=V`; may be repeated")
	f.StringArrayVar(&r.Entrypoint, "entrypoint", nil, "the `word`s that start the image, one a flag (default the program)")
	return cmd
}

// completeImage turns what was written into the request, and reports all that
// is wrong with it.
func (c *cli) completeImage(r *PushImageRequest, flags imageFlags) error {
	var ps problems
	if _, tag := fairway.SplitImage(r.Ref); tag == "" {
		ps.add(fairway.Invalid("image", r.Ref, "has no tag", "write IMAGE:TAG; there is no default such as latest"))
	}
	if r.Port < 0 || r.Port > 65535 {
		ps.add(fairway.Invalid("port", strconv.Itoa(r.Port), "is no TCP port", "use 1 to 65535"))
	}
	for _, text := range flags.files {
		src, dst, ok := strings.Cut(text, ":")
		if !ok || src == "" || !strings.HasPrefix(dst, "/") {
			ps.add(fairway.Invalid("file", text, "is not SRC:DST", "write the file and the absolute path that it has in the image, e.g. config.yaml:/etc/config.yaml"))
			continue
		}
		r.Files = append(r.Files, ImageFile{Source: src, Path: dst})
	}
	r.Env = map[string]string{}
	for _, text := range flags.env {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			ps.add(fairway.Invalid("env", text, "is not K=V", "write the variable's name, = and its value"))
			continue
		}
		r.Env[k] = v
	}
	if text := c.Env("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 {
			ps.add(fairway.Invalid("SOURCE_DATE_EPOCH", text, "is not a number of seconds since 1970", "unset it, or set it to e.g. $(git log -1 --format=%ct)"))
		}
		r.Created = time.Unix(seconds, 0)
	}
	return ps.err()
}

func (c *cli) pushImage(cmd *cobra.Command, r PushImageRequest) error {
	server, err := c.serverURL()
	if err != nil {
		return err
	}
	host, _, _ := strings.Cut(r.Ref, "/")
	if sameHost(host, server.Host) {
		if r.Token, err = c.apiToken(server); err != nil {
			return err
		}
		r.User = registryUser
	}
	digest, err := c.PushImage(cmd.Context(), r)
	if err != nil {
		return err
	}
	c.println(r.Ref + "@" + digest)
	return nil
}

// sameHost reports whether both HOST:PORT mean one server; localhost is
// 127.0.0.1.
func sameHost(a, b string) bool {
	norm := func(s string) string { return strings.Replace(strings.ToLower(s), "localhost:", "127.0.0.1:", 1) }
	return norm(a) == norm(b)
}
