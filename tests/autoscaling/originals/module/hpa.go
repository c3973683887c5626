package main

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// hpaCase is a series of observations of one metric with one target; amounts are in thousandths.
type hpaCase struct {
	Target int64     `json:"target"`
	Up     float64   `json:"up"`
	Down   float64   `json:"down"`
	Steps  []hpaStep `json:"steps"`
}

// hpaStep has the values of ready pods, or that of the whole target.
type hpaStep struct {
	Values  []int64 `json:"values"`
	Whole   *int64  `json:"whole"`
	Missing int     `json:"missing"` // pods that run and have no value
	Pending int     `json:"pending"`
	Leaving int     `json:"leaving"` // pods that are being deleted, with a value
	Current int32   `json:"current"`
}

// hpaAnswer has the recommendation of each step; null where there is none.
type hpaAnswer struct {
	Desired []*int32 `json:"desired"`
}

// client is a metrics API with the values of one step.
type client struct {
	pods  metrics.PodMetricsInfo
	whole []int64
}

func (c *client) GetResourceMetric(context.Context, v1.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	return c.pods, time.Time{}, nil
}

func (c *client) GetRawMetric(string, string, labels.Selector, labels.Selector) (metrics.PodMetricsInfo, time.Time, error) {
	return c.pods, time.Time{}, nil
}

func (c *client) GetObjectMetric(string, string, *autoscaling.CrossVersionObjectReference, labels.Selector) (int64, time.Time, error) {
	return 0, time.Time{}, fmt.Errorf("no object has metrics here")
}

func (c *client) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	return c.whole, time.Time{}, nil
}

func (c *hpaCase) decide() hpaAnswer {
	answer := hpaAnswer{}
	for _, step := range c.Steps {
		answer.Desired = append(answer.Desired, c.recommend(step))
	}
	return answer
}

// tolerances makes Kubernetes' value, whose two fields other packages cannot set: down and up.
func (c *hpaCase) tolerances() podautoscaler.Tolerances {
	shares := [2]float64{c.Down, c.Up}
	return *(*podautoscaler.Tolerances)(unsafe.Pointer(&shares))
}

func (c *hpaCase) recommend(step hpaStep) *int32 {
	api := &client{pods: metrics.PodMetricsInfo{}}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	add := func(name string, phase v1.PodPhase, value *int64, leaving bool) {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Status: v1.PodStatus{Phase: phase}}
		if leaving {
			pod.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		}
		if phase == v1.PodRunning {
			pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
		}
		if value != nil {
			api.pods[name] = metrics.PodMetric{Value: *value}
		}
		if err := indexer.Add(pod); err != nil {
			fail(err)
		}
	}
	for i := range step.Values {
		add(fmt.Sprint("value", i), v1.PodRunning, &step.Values[i], false)
	}
	for i := range step.Missing {
		add(fmt.Sprint("missing", i), v1.PodRunning, nil, false)
	}
	for i := range step.Pending {
		add(fmt.Sprint("pending", i), v1.PodPending, nil, false)
	}
	for i := range step.Leaving {
		add(fmt.Sprint("leaving", i), v1.PodRunning, &c.Target, true)
	}
	calculator := podautoscaler.NewReplicaCalculator(api, corelisters.NewPodLister(indexer), 0, 0)
	var replicas int32
	var err error
	if step.Whole != nil {
		api.whole = []int64{*step.Whole}
		replicas, _, _, err = calculator.GetExternalPerPodMetricReplicas(step.Current, c.Target, "m", c.tolerances(), "ns", &metav1.LabelSelector{})
	} else {
		replicas, _, _, err = calculator.GetMetricReplicas(step.Current, c.Target, "m", c.tolerances(), "ns", labels.Everything(), nil)
	}
	if err != nil {
		return nil
	}
	return &replicas
}
