package trace_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/trace"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	events, err := trace.Generate(trace.Spec{Hosts: 5, Servers: 40, Seed: 1})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, trace.Write(&b, events))
	read, err := trace.ReadAll(bytes.NewReader(b.Bytes()))
	require.NoError(t, err)
	require.Equal(t, slices.Collect(events), read)

	var again bytes.Buffer
	same, err := trace.Generate(trace.Spec{Hosts: 5, Servers: 40, Seed: 1})
	require.NoError(t, err)
	require.NoError(t, trace.Write(&again, same))
	require.Equal(t, b.String(), again.String(), "the same spec is the same trace")

	boots, gone := map[string]float64{}, 0
	for _, e := range read {
		if e.Boot != nil {
			boots[e.Boot.ID] = e.At
		}
		if e.Delete != "" {
			gone++
			require.Contains(t, boots, e.Delete)
			require.GreaterOrEqual(t, e.At, boots[e.Delete])
		}
	}
	require.Len(t, boots, 40)
	require.Greater(t, gone, 5)
}

func TestBadSpecsAndLinesAreRefused(t *testing.T) {
	for _, s := range []trace.Spec{{}, {Hosts: 2_000_000}, {Hosts: 1, Servers: -1}, {Hosts: 4, Zones: 9}, {Hosts: 1, Hours: -1}} {
		_, err := trace.Generate(s)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%+v", s)
	}
	for text, want := range map[string]string{
		"{}":                                               "line 1: it is not one of",
		"\n# words\n{\"delete\": 1}":                       "line 3:",
		`{"delete": "a", "remove": "b"}`:                   "line 1: it is not one of",
		`{"at": -1, "delete": "a"}`:                        "line 1: its time",
		`{"delete": "a", "later": 1}`:                      "unknown field",
		`{"delete": "a"} {"delete": "b"}`:                  "something follows",
		`{"delete": "` + strings.Repeat("x", 5<<20) + `"}`: "longer than",
	} {
		_, err := trace.ReadAll(strings.NewReader(text))
		require.ErrorIs(t, err, nephos.ErrInvalid, "%.40s", text)
		require.ErrorContains(t, err, want, "%.40s", text)
	}
}

// lines writes events shortly, for comparing.
func lines(events []trace.Event) (out []string) {
	for _, e := range events {
		switch {
		case e.Boot != nil:
			out = append(out, fmt.Sprintf("%g %s %s %d VCPUs %d MiB", e.At, e.Boot.ID, e.Boot.ProjectID, e.Boot.Resources[scheduler.VCPU], e.Boot.Resources[scheduler.MemoryMB]))
		default:
			out = append(out, fmt.Sprintf("%g gone %s", e.At, e.Delete))
		}
	}
	return out
}

func TestPublicTraces(t *testing.T) {
	azure := "vm1,sub1,dep1,300,900,99,1.5,40,Delay-insensitive,4,32\nvm2,sub2,dep2,600,,99,1,2,Unknown,>24,>64\n"
	events, err := trace.Azure(strings.NewReader(azure), trace.Scale{})
	require.NoError(t, err)
	require.Equal(t, []string{"0 vm1 sub1 4 VCPUs 32768 MiB", "300 vm2 sub2 24 VCPUs 65536 MiB", "600 gone vm1"}, lines(events))

	vms := "vmId,tenantId,vmTypeId,priority,starttime,endtime\n0,7,2,0,-1.5,0.5\n1,8,3,1,0,\n"
	types := "id,vmTypeId,machineId,core,memory,hdd,ssd,nic\n0,2,0,0.25,0.125,,0.1,0.1\n1,2,1,0.5,0.5,,,\n2,3,0,0.02,0.01,,,\n"
	events, err = trace.AzurePacking(strings.NewReader(vms), strings.NewReader(types), trace.Scale{})
	require.NoError(t, err)
	require.Equal(t, []string{"0 0 7 16 VCPUs 32768 MiB", "129600 1 8 2 VCPUs 2622 MiB", "172800 gone 0"}, lines(events))

	google := "0,,1,0,,0,u,0,9,0.5,0.25,0.1,0\n5000000,,1,0,m,1,u,0,9,0.5,0.25,0.1,0\n7000000,,1,1,m,1,v,0,9,0.1,,0.1,0\n" +
		"9000000,,1,0,m,2,u,0,9,0.5,0.25,0.1,0\n9500000,,1,0,m,1,u,0,9,0.5,0.25,0.1,0\n11000000,,1,0,m,4,u,0,9,0.5,0.25,0.1,0\n"
	events, err = trace.Google(strings.NewReader(google), trace.Scale{VCPUs: 100, MemoryMB: 1000})
	require.NoError(t, err)
	require.Equal(t, []string{"0 1-0 u 50 VCPUs 250 MiB", "2 1-1 v 10 VCPUs 1 MiB", "6 gone 1-0"}, lines(events))

	later := "time,type,collection_id,instance_index,machine_id,resource_request.cpus,resource_request.memory\n" +
		"1000000,0,5,0,,0.01,0.01\n2000000,3,5,0,m,0.01,0.01\n4000000,6,5,0,m,0.01,0.01\n"
	events, err = trace.Google(strings.NewReader(later), trace.Scale{})
	require.NoError(t, err)
	require.Equal(t, []string{"0 5-0  1 VCPUs 2622 MiB", "2 gone 5-0"}, lines(events))

	for _, bad := range []string{"", "a,b\n1,2\n", "vm1,s,d,x,1,1,1,1,c,1,1\n", "\"vm1\n"} {
		_, err := trace.Azure(strings.NewReader(bad), trace.Scale{})
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", bad)
	}
	_, err = trace.AzurePacking(strings.NewReader("vmId,vmTypeId,starttime,endtime\n1,9,0,1\n"), strings.NewReader(types), trace.Scale{})
	require.ErrorContains(t, err, `row 1: no VM type "9"`)
}

func FuzzTraces(f *testing.F) {
	f.Add(`{"at": 1, "boot": {"ID": "a", "Resources": {"VCPU": 1}}}`)
	f.Add("vm1,sub1,dep1,300,900,99,1.5,40,x,4,32\n")
	f.Add("time,type,collection_id,instance_index\n1,3,1,1\n2,4,1,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if events, err := trace.ReadAll(strings.NewReader(text)); err == nil {
			var b bytes.Buffer
			require.NoError(t, trace.Write(&b, slices.Values(events)))
		}
		for _, read := range []func() ([]trace.Event, error){
			func() ([]trace.Event, error) { return trace.Azure(strings.NewReader(text), trace.Scale{}) },
			func() ([]trace.Event, error) { return trace.Google(strings.NewReader(text), trace.Scale{}) },
			func() ([]trace.Event, error) {
				return trace.AzurePacking(strings.NewReader(text), strings.NewReader(text), trace.Scale{})
			},
		} {
			events, err := read()
			require.True(t, err == nil || errors.Is(err, nephos.ErrInvalid), "%v", err)
			for _, e := range events {
				require.True(t, e.Boot == nil || e.Boot.Resources[scheduler.VCPU] > 0)
			}
		}
	})
}

type clock struct{}

func (clock) Now() time.Time                       { return time.Unix(0, 0) }
func (clock) After(time.Duration) <-chan time.Time { return nil }

func TestARecordingHoldsWhatTheSchedulerSaw(t *testing.T) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	s, err := scheduler.New(scheduler.Config{})
	require.NoError(t, err)
	var b bytes.Buffer
	r := trace.NewRecorder(&b, snap, map[string]float64{"VCPU": 2}, clock{})
	h := trace.Spec{Hosts: 1, Zones: 1}.Host(0)
	require.NoError(t, r.Put(h))
	want := scheduler.Resources{scheduler.VCPU: 2}
	_, err = r.Select(s, scheduler.Request{ID: "a", Resources: want}, scheduler.Options{Seed: 3, Alternates: 2})
	require.NoError(t, err)
	require.NoError(t, r.Claim(h.ID, want))
	require.NoError(t, r.SetUsage(h.ID, scheduler.Usage{Used: want, NumInstances: 1}))
	_, err = r.Select(s, scheduler.Request{ID: "b", Resources: scheduler.Resources{scheduler.VCPU: 1 << 20}}, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrNoCapacity)
	_, err = r.Select(s, scheduler.Request{ID: "c", Count: -1}, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.True(t, r.Remove(h.ID))
	require.False(t, r.Remove(h.ID))
	require.ErrorIs(t, r.Claim(h.ID, want), nephos.ErrNotFound)
	require.NoError(t, r.Err())
	events, err := trace.ReadAll(&b)
	require.NoError(t, err)
	require.Len(t, events, 7)
	require.Equal(t, map[string]float64{"VCPU": 2}, events[0].Ratios)
	require.Equal(t, &trace.Decision{Request: scheduler.Request{ID: "a", Resources: want}, Seed: 3, Alternates: 2, Chosen: []string{h.ID}}, events[2].Decision)
	require.Empty(t, events[5].Decision.Chosen)

	broken := trace.NewRecorder(brokenWriter{}, snap, nil, clock{})
	require.NoError(t, broken.Put(h))
	require.Error(t, broken.Err())
	require.Equal(t, 1, snap.Len())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("full") }
