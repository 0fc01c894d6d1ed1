package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// A snapshot outlives the question that began it: whoever asked asks again
// until it is done. What came of it is kept for keepSnapshot after that.
const (
	snapshotPatience = 5 * time.Second // of one question
	keepSnapshot     = 10 * time.Minute
)

// snapshots are the copies of disks under way.
type snapshots struct {
	dir string

	mu   sync.Mutex
	jobs map[driver.SnapshotQuestion]*snapshotJob
	stop context.CancelFunc // nil while the agent is only stepped: then jobs run to their end
	life context.Context
	wg   sync.WaitGroup
}

type snapshotJob struct {
	done   chan struct{}
	ended  time.Time
	answer driver.SnapshotAnswer
	err    error
}

// newSnapshots removes what a killed agent left.
func newSnapshots(dir string) (*snapshots, error) {
	s := &snapshots{dir: filepath.Join(dir, "snapshots"), jobs: map[driver.SnapshotQuestion]*snapshotJob{}}
	s.life, s.stop = context.WithCancel(context.Background())
	if err := os.RemoveAll(s.dir); err != nil {
		return nil, err
	}
	return s, os.MkdirAll(s.dir, 0o700)
}

// close ends the jobs under way and lets none begin.
func (s *snapshots) close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.wg.Wait()
}

// snapshot answers AskSnapshot.
func (a *Agent) snapshot(ctx context.Context, q driver.SnapshotQuestion) (driver.SnapshotAnswer, error) {
	to, err := url.Parse(q.URL)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" {
		return driver.SnapshotAnswer{}, nephos.Errorf(nephos.ErrInvalid, "the snapshot's URL is not one of http")
	}
	id := q
	to.RawQuery = "" // a signature; the next question may have a newer one
	id.URL = to.String()

	s := a.snapshots
	s.mu.Lock()
	for k, old := range s.jobs {
		if !old.ended.IsZero() && a.cfg.Clock.Now().Sub(old.ended) > keepSnapshot {
			delete(s.jobs, k)
		}
	}
	job := s.jobs[id]
	if job == nil {
		if s.life.Err() != nil {
			s.mu.Unlock()
			return driver.SnapshotAnswer{}, nephos.Errorf(nephos.ErrUnavailable, "the agent is stopping")
		}
		job = &snapshotJob{done: make(chan struct{})}
		s.jobs[id] = job
		s.wg.Go(func() {
			answer, err := a.takeSnapshot(s.life, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			job.answer, job.err, job.ended = answer, err, a.cfg.Clock.Now()
			close(job.done)
		})
	}
	s.mu.Unlock()

	select {
	case <-job.done:
	case <-a.cfg.Clock.After(snapshotPatience):
		return driver.SnapshotAnswer{}, nil
	case <-ctx.Done():
		return driver.SnapshotAnswer{}, ctx.Err()
	}
	if job.err != nil { // told once; the next question begins again
		s.mu.Lock()
		if s.jobs[id] == job {
			delete(s.jobs, id)
		}
		s.mu.Unlock()
	}
	return job.answer, job.err
}

func (a *Agent) takeSnapshot(ctx context.Context, q driver.SnapshotQuestion) (answer driver.SnapshotAnswer, err error) {
	dir, err := os.MkdirTemp(a.snapshots.dir, "")
	if err != nil {
		return answer, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "disk.qcow2")
	if err := a.cfg.Hypervisor.Snapshot(ctx, q.ID, q.Disk, path); err != nil {
		return answer, err
	}
	f, err := os.Open(path)
	if err != nil {
		return answer, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, q.URL, io.NopCloser(f))
	if err != nil {
		return answer, err
	}
	req.ContentLength = info.Size()
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := a.cfg.HTTP.Do(req)
	if err != nil {
		return answer, nephos.Errorf(nephos.ErrUnavailable, "sending the snapshot of server %s: %w", q.ID, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return answer, fmt.Errorf("sending the snapshot of server %s: the image service answered %s: %s", q.ID, resp.Status, why)
	}
	return driver.SnapshotAnswer{Done: true, Size: info.Size()}, nil
}
