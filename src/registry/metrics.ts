type Labels = Readonly<Record<string, string>>;

const bucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** Figures in the form Prometheus reads (text exposition format 0.0.4). */
export class Metrics {
  readonly #help = new Map<string, { readonly type: string; readonly text: string }>();
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #histograms = new Map<string, Map<string, Histogram>>();
  readonly #gauges: { readonly name: string; readonly read: () => number | Promise<number> }[] = [];

  describe(name: string, type: 'counter' | 'histogram' | 'gauge', text: string): void {
    this.#help.set(name, { type, text });
  }

  /** A figure that is read when somebody asks. */
  gauge(name: string, text: string, read: () => number | Promise<number>): void {
    this.describe(name, 'gauge', text);
    this.#gauges.push({ name, read });
  }

  add(name: string, labels: Labels, count = 1): void {
    const series = seriesOf(this.#counters, name);
    const key = labelText(labels);
    series.set(key, (series.get(key) ?? 0) + count);
  }

  observe(name: string, labels: Labels, seconds: number): void {
    const series = seriesOf(this.#histograms, name);
    const key = labelText(labels);
    let histogram = series.get(key);
    if (histogram === undefined) {
      histogram = { counts: bucketsSeconds.map(() => 0), sum: 0, count: 0 };
      series.set(key, histogram);
    }
    histogram.sum += seconds;
    histogram.count += 1;
    const bucket = bucketsSeconds.findIndex(limit => seconds <= limit);
    if (bucket >= 0) histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
  }

  async text(): Promise<string> {
    const lines: string[] = [];
    const head = (name: string): void => {
      const help = this.#help.get(name);
      if (help !== undefined) lines.push(`# HELP ${name} ${help.text}`, `# TYPE ${name} ${help.type}`);
    };
    for (const [name, series] of this.#counters) {
      head(name);
      for (const [labels, value] of series) lines.push(`${name}${braces(labels)} ${String(value)}`);
    }
    for (const [name, series] of this.#histograms) {
      head(name);
      for (const [labels, histogram] of series) lines.push(...histogramLines(name, labels, histogram));
    }
    for (const { name, read } of this.#gauges) {
      head(name);
      lines.push(`${name} ${String(await read())}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function seriesOf<T>(all: Map<string, Map<string, T>>, name: string): Map<string, T> {
  let series = all.get(name);
  if (series === undefined) {
    series = new Map();
    all.set(name, series);
  }
  return series;
}

function histogramLines(name: string, labels: string, { counts, sum, count }: Histogram): string[] {
  const comma = labels === '' ? '' : ',';
  let below = 0;
  const buckets = bucketsSeconds.map((limit, index) => {
    below += counts[index] ?? 0;
    return `${name}_bucket{${labels}${comma}le="${String(limit)}"} ${String(below)}`;
  });
  return [
    ...buckets,
    `${name}_bucket{${labels}${comma}le="+Inf"} ${String(count)}`,
    `${name}_sum${braces(labels)} ${String(sum)}`,
    `${name}_count${braces(labels)} ${String(count)}`,
  ];
}

const braces = (labels: string): string => (labels === '' ? '' : `{${labels}}`);

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`)
    .join(',');
