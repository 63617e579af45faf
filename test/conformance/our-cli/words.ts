/** The words of a command line in which double quotes keep words together. */
export const splitWords = (line: string): string[] =>
  [...line.matchAll(/(?:"([^"]*)"|[^\s"]+)+/g)].map(([word]) => word.replaceAll('"', ''));
