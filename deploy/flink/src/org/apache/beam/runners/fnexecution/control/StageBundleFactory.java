package org.apache.beam.runners.fnexecution.control;

import org.apache.beam.runners.fnexecution.state.StateRequestHandler;

/**
 * Takes the place of Beam's interface of this name, whose Flink runner hears of a worker's counters
 * when a bundle is done. The bundles of a batch job are whole partitions: here workers are asked
 * meanwhile. All else is as in Beam.
 */
public interface StageBundleFactory extends AutoCloseable {
  default RemoteBundle getBundle(
      OutputReceiverFactory outputs, StateRequestHandler state, BundleProgressHandler progress)
      throws Exception {
    return getBundle(outputs, (TimerReceiverFactory) null, state, progress);
  }

  default RemoteBundle getBundle(
      OutputReceiverFactory outputs,
      StateRequestHandler state,
      BundleProgressHandler progress,
      BundleFinalizationHandler finalization)
      throws Exception {
    return getBundle(outputs, (TimerReceiverFactory) null, state, progress, finalization);
  }

  /** The one that batch jobs call. */
  default RemoteBundle getBundle(
      OutputReceiverFactory outputs,
      StateRequestHandler state,
      BundleProgressHandler progress,
      BundleFinalizationHandler finalization,
      BundleCheckpointHandler checkpoint)
      throws Exception {
    AskedBundle asked = new AskedBundle(progress);
    RemoteBundle bundle = getBundle(outputs, null, state, asked, finalization, checkpoint);
    return asked.of(bundle, getInstructionRequestHandler());
  }

  default RemoteBundle getBundle(
      OutputReceiverFactory outputs,
      TimerReceiverFactory timers,
      StateRequestHandler state,
      BundleProgressHandler progress)
      throws Exception {
    return getBundle(outputs, timers, state, progress, null);
  }

  default RemoteBundle getBundle(
      OutputReceiverFactory outputs,
      TimerReceiverFactory timers,
      StateRequestHandler state,
      BundleProgressHandler progress,
      BundleFinalizationHandler finalization)
      throws Exception {
    return getBundle(outputs, timers, state, progress, finalization, null);
  }

  RemoteBundle getBundle(
      OutputReceiverFactory outputs,
      TimerReceiverFactory timers,
      StateRequestHandler state,
      BundleProgressHandler progress,
      BundleFinalizationHandler finalization,
      BundleCheckpointHandler checkpoint)
      throws Exception;

  ProcessBundleDescriptors.ExecutableProcessBundleDescriptor getProcessBundleDescriptor();

  InstructionRequestHandler getInstructionRequestHandler();
}
