package org.apache.beam.sdk.util.construction.resources;

import io.github.classgraph.ClassGraph;
import java.io.File;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Takes the place of Beam's class of this name, by which the job server sends its whole class path
 * along with each job: 150 MB that the TaskManagers of cluster.sh have already, and are told so by
 * the property. All other clusters get them.
 */
public class ClasspathScanningResourcesDetector implements PipelineResourcesDetector {
  private final transient ClassGraph classes;

  public ClasspathScanningResourcesDetector(ClassGraph classes) {
    this.classes = classes;
  }

  @Override
  public List<String> detect(ClassLoader loader) {
    if (Boolean.getBoolean("corpusvec.jars.are.there")) {
      return Collections.emptyList();
    }
    return classes.disableNestedJarScanning().addClassLoader(loader).scan(1).getClasspathFiles()
        .stream().map(File::getAbsolutePath).collect(Collectors.toList());
  }
}
