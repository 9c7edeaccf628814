package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairwaycd/fairway"
)

// The annotations by which a chart says that a Job or Pod is run at a certain
// time and does not belong to what stays.
const (
	hookAnnotation   = "helm.sh/hook"
	weightAnnotation = "helm.sh/hook-weight"
)

// hook is a program that has to succeed before the instance starts. A version
// is always started beside what runs, so that hooks of an installation and of
// an upgrade are the same here.
type hook struct {
	name     string // KIND NAME (WHEN)
	image    string
	spec     *spec
	deadline time.Duration // 0: none of its own
}

func (o *objects) addHook(head metav1.PartialObjectMetadata, doc []byte) error {
	r := runnable{kind: head.Kind, name: head.Name, hook: head.Annotations[hookAnnotation]}
	if text := head.Annotations[weightAnnotation]; text != "" {
		var err error
		if r.weight, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("annotation %s: %q is not a number", weightAnnotation, text)
		}
	}
	var seconds *int64
	if head.Kind == "Pod" {
		var p corev1.Pod
		if err := unmarshal(doc, &p); err != nil {
			return err
		}
		r.template = corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
	} else {
		var j batchv1.Job
		if err := unmarshal(doc, &j); err != nil {
			return err
		}
		r.template, seconds = j.Spec.Template, j.Spec.ActiveDeadlineSeconds
	}
	if seconds = cmp.Or(seconds, r.template.Spec.ActiveDeadlineSeconds); seconds != nil {
		r.deadline = new(time.Duration(*seconds) * time.Second)
	}
	o.hooks = append(o.hooks, r)
	return nil
}

// before reports whether it runs before the version starts.
func (r runnable) before() bool {
	return slices.ContainsFunc(strings.Split(r.hook, ","), func(when string) bool {
		when = strings.TrimSpace(when)
		return when == "pre-install" || when == "pre-upgrade"
	})
}

// readHooks returns what runs before, by weight and name.
func (o *objects) readHooks(w fairway.Workload, host string) ([]hook, error) {
	all := slices.DeleteFunc(slices.Clone(o.hooks), func(r runnable) bool { return !r.before() })
	slices.SortStableFunc(all, func(a, b runnable) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.name, b.name))
	})
	var out []hook
	for _, r := range all {
		if len(r.template.Spec.Containers) == 0 {
			return nil, fairway.Invalid("hook "+r.kind+" "+r.name, "", "has no containers", "add one to its pod template")
		}
		c := r.template.Spec.Containers[0]
		env, err := resolveEnv(c, source{w: w, objs: o, template: r.template, host: host})
		if err != nil {
			return nil, fairway.InFile("hook "+r.kind+" "+r.name, err)
		}
		h := hook{name: fmt.Sprintf("%s %s (%s)", r.kind, r.name, r.hook), image: c.Image,
			spec: &spec{command: c.Command, args: c.Args, workingDir: c.WorkingDir, env: env}}
		if r.deadline != nil {
			h.deadline = *r.deadline
		}
		out = append(out, h)
	}
	return out, nil
}

// runHooks runs what has to succeed before the program starts, once for the
// instance. One that was under way in a crash is run again, as Kubernetes may
// do with any Job: it has to bear that.
func (i *instance) runHooks(ctx context.Context) error {
	for i.rec.HooksDone < len(i.spec.hooks) {
		h := i.spec.hooks[i.rec.HooksDone]
		i.notReady("hook " + h.name + " is running")
		if err := i.runHook(ctx, h); err != nil {
			return err
		}
		i.rec.HooksDone++
		if err := i.p.records.save(i.rec); err != nil {
			return fairway.Retryable(err)
		}
	}
	return nil
}

func (i *instance) runHook(ctx context.Context, h hook) error {
	prog, err := i.hookProgram(ctx, h)
	if err != nil {
		return fmt.Errorf("hook %s: %w", h.name, err)
	}
	out, offset, err := openLog(i.logPath)
	if err != nil {
		return err
	}
	defer out.Close()
	i.note("hook " + h.name + " started")
	err = i.execHook(ctx, h, prog, out)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		i.note("hook " + h.name + " failed: " + err.Error())
		text := fmt.Sprintf("hook %s failed: %s", h.name, err)
		if tail := logTail(i.logPath, offset); tail != "" {
			text += "; the last lines of its log:\n  | " + strings.ReplaceAll(tail, "\n", "\n  | ")
		}
		return fairway.Errorf(fairway.KindRefused, "%s", text)
	}
	i.note("hook " + h.name + " succeeded")
	return nil
}

// hookProgram unpacks the hook's image and returns what is executed of it.
func (i *instance) hookProgram(ctx context.Context, h hook) (program, error) {
	a := i.workload.Artifact
	if !a.IsRef(h.image) {
		image, digest, _ := strings.Cut(h.image, "@")
		a = fairway.Artifact{Digest: digest}
		if a.Image, a.Tag = fairway.SplitImage(image); a.Tag == "" {
			a.Tag = "latest"
		}
		if a.Digest == "" {
			var err error
			if a, err = i.p.o.Images.Resolve(ctx, i.workload.Project, a); err != nil {
				return program{}, err
			}
		}
	}
	img, err := i.p.o.Images.Unpack(ctx, i.workload.Project, a)
	if err != nil {
		return program{}, err
	}
	return newProgram(img, h.spec, append(ownEnvironment(), i.p.o.Env...), 0)
}

// execHook runs the program to its end. Exit code 0 is success.
func (i *instance) execHook(ctx context.Context, h hook, prog program, out *os.File) error {
	if h.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, h.deadline, fmt.Errorf("it took longer than its activeDeadlineSeconds (%s)", h.deadline))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, prog.Path)
	cmd.Args, cmd.Dir, cmd.Stdout, cmd.Stderr = prog.Argv, prog.Dir, out, out
	// After a crash it is found by its identity, and ended.
	cmd.Env = withIdentity(prog.Env, i.p.identity, i.id(), randomID())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // for children that keep its output open
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return errors.New(exit.String())
	}
	return err
}
