package registry

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

const (
	driverName      = "fairway"
	driverParameter = "driver"
)

// registerDriver makes the library find the driver that newApp hands over.
var registerDriver = sync.OnceFunc(func() { factory.Register(driverName, handOver{}) })

// handOver is a factory that returns the driver it is given.
type handOver struct{}

func (handOver) Create(_ context.Context, parameters map[string]any) (driver.StorageDriver, error) {
	d, ok := parameters[driverParameter].(driver.StorageDriver)
	if !ok {
		return nil, errors.New("the registry's configuration carries no driver")
	}
	return d, nil
}

// durableDriver is the library's filesystem driver with durable directories. Of an
// upload under way nothing needs to be durable: who loses it sends it again.
type durableDriver struct {
	driver.StorageDriver
	disk *disk
}

func newDriver(d *disk) *durableDriver {
	return &durableDriver{
		StorageDriver: filesystem.New(filesystem.DriverParameters{RootDirectory: d.root, MaxThreads: 100}),
		disk:          d,
	}
}

func (d *durableDriver) full(path string) string { return filepath.Join(d.disk.root, path) }

func (d *durableDriver) ensureParent(path string) error {
	if isUpload(path) {
		return nil
	}
	return d.disk.ensureDir(filepath.Dir(d.full(path)))
}

func isUpload(path string) bool { return strings.Contains(path, "/_uploads/") }

// PutContent syncs the file, its directory, and every directory made for it.
func (d *durableDriver) PutContent(ctx context.Context, path string, content []byte) error {
	if err := d.ensureParent(path); err != nil {
		return noteFull(ctx, err)
	}
	return noteFull(ctx, d.StorageDriver.PutContent(ctx, path, content))
}

// Move syncs the directory that path is moved into, which the library does
// not. A finished upload becomes a blob here; its data was synced before.
func (d *durableDriver) Move(ctx context.Context, source, path string) error {
	if err := d.ensureParent(path); err != nil {
		return noteFull(ctx, err)
	}
	if err := d.StorageDriver.Move(ctx, source, path); err != nil {
		return noteFull(ctx, err)
	}
	return noteFull(ctx, d.disk.sync(filepath.Dir(d.full(path))))
}

// Writer returns a writer that notes when the disk is full.
func (d *durableDriver) Writer(ctx context.Context, path string, appending bool) (driver.FileWriter, error) {
	if err := d.ensureParent(path); err != nil {
		return nil, noteFull(ctx, err)
	}
	w, err := d.StorageDriver.Writer(ctx, path, appending)
	if err != nil {
		return nil, noteFull(ctx, err)
	}
	return &writer{FileWriter: w, ctx: ctx}, nil
}

type writer struct {
	driver.FileWriter
	ctx context.Context // of the request that the writer lives in
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.FileWriter.Write(p)
	return n, noteFull(w.ctx, err)
}

func (w *writer) Commit(ctx context.Context) error { return noteFull(w.ctx, w.FileWriter.Commit(ctx)) }

func (w *writer) Close() error { return noteFull(w.ctx, w.FileWriter.Close()) }

// trouble is what a request learns from below the library, which answers 500
// to everything.
type trouble struct{ full atomic.Bool }

type troubleKey struct{}

// noteFull returns err, having told the request if it means a full disk.
func noteFull(ctx context.Context, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if t, ok := ctx.Value(troubleKey{}).(*trouble); ok {
			t.full.Store(true)
		}
	}
	return err
}
