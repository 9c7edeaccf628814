package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// bridge hands the library's warnings and errors to slog. The library logs to
// logrus' standard logger and offers no way to give it another.
type bridge struct{ log atomic.Pointer[slog.Logger] }

var (
	theBridge    bridge
	installHooks = sync.OnceFunc(func() {
		logrus.SetOutput(io.Discard)
		logrus.SetLevel(logrus.WarnLevel)
		logrus.AddHook(&theBridge)
	})
)

// bridgeLogs sends what the library logs from now on to l.
func bridgeLogs(l *slog.Logger) {
	theBridge.log.Store(l)
	installHooks()
}

// Levels implements logrus.Hook.
func (b *bridge) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

// Fire implements logrus.Hook. The library logs a client's every 404 as an
// error; only what it has no better word for than "unknown" is one.
func (b *bridge) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	if code, ok := e.Data["err.code"]; ok && fmt.Sprint(code) == "unknown" {
		level = slog.LevelError
	}
	l := b.log.Load()
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background() // logrus entries rarely carry one
	}
	if !l.Enabled(ctx, level) {
		return nil
	}
	attrs := []slog.Attr{slog.String("said", e.Message)}
	for _, k := range []string{"err.code", "err.message", "err.detail", "vars.name", "vars.reference", "vars.digest", "http.request.method"} {
		if v, ok := e.Data[k]; ok {
			attrs = append(attrs, slog.String(k, fmt.Sprint(v)))
		}
	}
	l.LogAttrs(ctx, level, "registry library", attrs...)
	return nil
}
