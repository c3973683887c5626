package main

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

// kpaCase is a series of metrics, one value per second, and the ready pods at each decision, every two seconds.
type kpaCase struct {
	Target         float64   `json:"target"`
	StableS        int       `json:"stable_s"`
	PanicS         int       `json:"panic_s"`
	PanicThreshold float64   `json:"panic_threshold"`
	UpRate         float64   `json:"up_rate"`
	DownRate       float64   `json:"down_rate"`
	DelayS         int       `json:"delay_s"`
	Activation     int32     `json:"activation"`
	Burst          float64   `json:"burst"`
	Total          float64   `json:"total"`
	Load           []float64 `json:"load"`
	Ready          []int     `json:"ready"`
}

// kpaAnswer has what each decision was.
type kpaAnswer struct {
	Desired []int32 `json:"desired"`
	Excess  []int32 `json:"excess"`
}

// counter tells the ready pods of now.
type counter struct{ ready int }

func (c *counter) ReadyCount() (int, error)    { return c.ready, nil }
func (c *counter) NotReadyCount() (int, error) { return 0, nil }

// windows are Knative's own, as its collector has them.
type windows struct {
	stable, panicking *aggregation.TimedFloat64Buckets
}

func (w windows) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.stable.WindowAverage(now), w.panicking.WindowAverage(now), nil
}

func (w windows) StableAndPanicRPS(key types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.StableAndPanicConcurrency(key, now)
}

func (c *kpaCase) decide() kpaAnswer {
	seconds := func(s int) time.Duration { return time.Duration(s) * time.Second }
	metrics := windows{
		aggregation.NewTimedFloat64Buckets(seconds(c.StableS), time.Second),
		aggregation.NewTimedFloat64Buckets(seconds(c.PanicS), time.Second),
	}
	pods := &counter{c.Ready[0]}
	start := time.Now() // an autoscaler that begins with several pods panics from now on
	scaler := scaling.New(*attribute.EmptySet(), noop.NewMeterProvider(), "ns", "name", metrics, pods, &scaling.DeciderSpec{
		MaxScaleUpRate: c.UpRate, MaxScaleDownRate: c.DownRate, ScalingMetric: "concurrency",
		TargetValue: c.Target, TotalValue: c.Total, TargetBurstCapacity: c.Burst, ActivationScale: c.Activation,
		PanicThreshold: c.PanicThreshold, StableWindow: seconds(c.StableS), ScaleDownDelay: seconds(c.DelayS),
		Reachable: true,
	})
	logger := zap.NewNop().Sugar()
	answer := kpaAnswer{}
	for second, load := range c.Load {
		now := start.Add(seconds(second))
		metrics.stable.Record(now, load)
		metrics.panicking.Record(now, load)
		if second%2 == 0 {
			pods.ready = c.Ready[second/2]
			result := scaler.Scale(logger, now)
			answer.Desired = append(answer.Desired, result.DesiredPodCount)
			answer.Excess = append(answer.Excess, result.ExcessBurstCapacity)
		}
	}
	return answer
}
