package org.apache.beam.sdk.fn.data;

import java.io.InputStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.Elements;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.ByteString;

/**
 * Takes the place of Beam's class of this name, which keeps the output of a worker in a queue until
 * its bundle is done. The queue has room for a hundred messages, but the bundles of a batch job are
 * whole partitions: above a few hundred MiB they filled the heap or hung. Here the thread that
 * receives a message also passes it on, and the worker waits meanwhile. It has only what runners
 * call.
 */
public class BeamFnDataInboundObserver implements CloseableFnDataReceiver<Elements> {
  private final Map<List<String>, Port<?>> ports = new HashMap<>(); // by transform and timers
  private int open;
  private Exception failure;

  public static BeamFnDataInboundObserver forConsumers(
      List<DataEndpoint<?>> data, List<TimerEndpoint<?>> timers) {
    return new BeamFnDataInboundObserver(data, timers);
  }

  private BeamFnDataInboundObserver(List<DataEndpoint<?>> data, List<TimerEndpoint<?>> timers) {
    for (DataEndpoint<?> one : data) {
      ports.put(List.of(one.getTransformId()), port(one));
    }
    for (TimerEndpoint<?> one : timers) {
      ports.put(List.of(one.getTransformId(), one.getTimerFamilyId()), port(one));
    }
    open = ports.size();
  }

  /** Passes on all elements of a message. */
  @Override
  public synchronized void accept(Elements message) throws Exception {
    if (failure != null) {
      throw failure;
    }
    try {
      for (Elements.Data data : message.getDataList()) {
        take(List.of(data.getTransformId()), data.getData(), data.getIsLast());
      }
      for (Elements.Timers timers : message.getTimersList()) {
        List<String> name = List.of(timers.getTransformId(), timers.getTimerFamilyId());
        take(name, timers.getTimers(), timers.getIsLast());
      }
    } catch (Throwable error) { // an Error would end the stream, for all who share the worker
      end(error instanceof Exception ? (Exception) error : new IllegalStateException(error));
      throw failure;
    }
  }

  private void take(List<String> name, ByteString elements, boolean isLast) throws Exception {
    Port<?> port = ports.get(name);
    if (port == null || port.isDone) {
      throw new IllegalStateException("unexpected data: " + name);
    }
    port.take(elements);
    if (isLast) {
      port.isDone = true;
      open--;
      notifyAll();
    }
  }

  /** Waits until all data has come. Throws what failed. */
  public synchronized void awaitCompletion() throws Exception {
    try {
      while (failure == null && open > 0) {
        wait();
      }
    } catch (InterruptedException cancelled) {
      end(cancelled);
    }
    if (failure != null) {
      throw failure;
    }
  }

  @Override
  public void flush() {}

  @Override
  public synchronized void close() {
    end(new IllegalStateException("the bundle is closed"));
  }

  private void end(Exception reason) {
    if (failure == null) {
      failure = reason;
    }
    notifyAll();
  }

  private static <T> Port<T> port(DataEndpoint<T> endpoint) {
    return new Port<>(endpoint.getCoder(), endpoint.getReceiver());
  }

  private static <T> Port<T> port(TimerEndpoint<T> endpoint) {
    return new Port<>(endpoint.getCoder(), endpoint.getReceiver());
  }

  private static final class Port<T> {
    private final Coder<T> coder;
    private final FnDataReceiver<T> receiver;
    private boolean isDone;

    Port(Coder<T> coder, FnDataReceiver<T> receiver) {
      this.coder = coder;
      this.receiver = receiver;
    }

    void take(ByteString elements) throws Exception {
      InputStream stream = elements.newInput();
      while (stream.available() > 0) {
        receiver.accept(coder.decode(stream));
      }
    }
  }
}
