package org.apache.beam.runners.fnexecution.control;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TimerTask;
import java.util.stream.Collectors;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.InstructionRequest;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.InstructionResponse;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleProgressRequest;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleProgressResponse;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.model.pipeline.v1.MetricsApi.MonitoringInfo;
import org.apache.beam.runners.core.metrics.MonitoringInfoEncodings;
import org.apache.beam.sdk.fn.data.FnDataReceiver;
import org.apache.beam.sdk.util.construction.Timer;
import org.apache.beam.sdk.values.KV;

/**
 * A bundle whose worker is asked for its counters every few seconds, until it is closed. Beam adds
 * what it is told to what it knows already, so of each counter it is told what is new. If the
 * worker is gone, nothing wakes a task that waits until it can send more, so it is interrupted.
 */
final class AskedBundle implements RemoteBundle, BundleProgressHandler {
  private static final long MILLISECONDS = 4000;
  private static final String COUNTER = "beam:metric:user:sum_int64:v1";

  private final BundleProgressHandler handler;
  private final Map<String, Long> told = new HashMap<>();
  private final Thread task = Thread.currentThread();
  private boolean completed;
  private boolean closed;
  private RemoteBundle bundle;
  private java.util.Timer clock;

  AskedBundle(BundleProgressHandler handler) {
    this.handler = handler;
  }

  /** The same, when it is known what is asked, and of whom. */
  AskedBundle of(RemoteBundle bundle, InstructionRequestHandler worker) {
    this.bundle = bundle;
    TimerTask ask =
        new TimerTask() {
          private int asked;

          @Override
          public void run() {
            try {
              worker.handle(question(asked++)).thenAccept(AskedBundle.this::hear);
            } catch (RuntimeException gone) {
              cancel();
              interrupt();
            }
          }
        };
    clock = new java.util.Timer("counters", true);
    clock.schedule(ask, MILLISECONDS, MILLISECONDS);
    return this;
  }

  private synchronized void interrupt() {
    if (!closed) {
      task.interrupt();
    }
  }

  private InstructionRequest question(int number) {
    return InstructionRequest.newBuilder()
        .setInstructionId("counters-" + bundle.getId() + "-" + number)
        .setProcessBundleProgress(
            ProcessBundleProgressRequest.newBuilder().setInstructionId(bundle.getId()))
        .build();
  }

  private synchronized void hear(InstructionResponse response) {
    if (!completed) {
      onProgress(response.getProcessBundleProgress());
    }
  }

  @Override
  public synchronized void onProgress(ProcessBundleProgressResponse response) {
    List<MonitoringInfo> counters =
        response.getMonitoringInfosList().stream()
            .filter(AskedBundle::isCounter)
            .map(this::whatIsNew)
            .collect(Collectors.toList());
    handler.onProgress(
        ProcessBundleProgressResponse.newBuilder().addAllMonitoringInfos(counters).build());
  }

  @Override
  public synchronized void onCompleted(ProcessBundleResponse response) {
    completed = true;
    List<MonitoringInfo> all =
        response.getMonitoringInfosList().stream()
            .map(info -> isCounter(info) ? whatIsNew(info) : info)
            .collect(Collectors.toList());
    handler.onCompleted(
        response.toBuilder().clearMonitoringInfos().addAllMonitoringInfos(all).build());
  }

  private static boolean isCounter(MonitoringInfo info) {
    return info.getUrn().equals(COUNTER);
  }

  private MonitoringInfo whatIsNew(MonitoringInfo info) {
    long now = MonitoringInfoEncodings.decodeInt64Counter(info.getPayload());
    Long before = told.put(info.getLabelsMap().toString(), now);
    return info.toBuilder()
        .setPayload(MonitoringInfoEncodings.encodeInt64Counter(now - (before == null ? 0 : before)))
        .build();
  }

  @Override
  public String getId() {
    return bundle.getId();
  }

  @Override
  public Map<String, FnDataReceiver> getInputReceivers() {
    return bundle.getInputReceivers();
  }

  @Override
  public Map<KV<String, String>, FnDataReceiver<Timer>> getTimerReceivers() {
    return bundle.getTimerReceivers();
  }

  @Override
  public void requestProgress() {
    bundle.requestProgress();
  }

  @Override
  public void split(double fractionOfRemainder) {
    bundle.split(fractionOfRemainder);
  }

  @Override
  public void close() throws Exception {
    try {
      bundle.close(); // which waits until the worker is done
    } finally {
      clock.cancel();
      synchronized (this) {
        closed = true;
      }
    }
  }
}
